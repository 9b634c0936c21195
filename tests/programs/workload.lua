-- Exercises the language and its libraries; prints nothing that depends on the machine.

local function section(name) print(("-- %s"):format(name)) end

section("numbers")
for _, x in ipairs { 0, 1, -1, 0.1, 1e15, 1e16, 2^53, 2^63, -2^63, 1/3, math.pi, 5e-324, 1.7976931348623157e308 } do
  -- C leaves open how %a writes what is too small to be normal: libraries differ.
  local hexadecimal = x ~= 0 and x < 2^-1022 and x > -2^-1022 and "-" or string.format("%a", x)
  print(x, string.format("%.14g %.17g", x, x), hexadecimal, math.tointeger(x), x // 1, math.type(x))
end
print(7 // 2, -7 // 2, 7 % -3, -7 % 3, 7.5 // 2, -7.5 % 2, 1e308 * 10, -(0/0) ~= -(0/0))
print(math.maxinteger + 1 == math.mininteger, math.maxinteger * 2, math.ult(1, -1), 3 | 4, 7 & ~2, 1 << 62, -1 >> 60)
local sum = 0
for i = 1, 20000 do sum = sum + math.sin(i) * math.sqrt(i) - math.floor(i / 7) + math.fmod(i, 3) end
print(("%.3f"):format(sum))
for x = -3, 3 do print(("%.12f %.12f %.12f %.12f"):format(math.exp(x), math.cos(x), math.atan(x, 2), math.log(x + 4))) end

section("strings")
local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words)
print(table.concat(words, ","), #words)
print(("hello world"):gsub("o", "0"), ("x=1, y=2"):gsub("(%w+)=(%w+)", "%2=%1"), ("abc"):rep(3, "-"), ("abc"):reverse())
print(("%5d|%-5d|%05d|%x|%q|%s|%10.3f|%g"):format(42, 42, 42, 255, "a\nb\0c", "s", 3.14159, 1e20))
print(string.pack(">i4 <i8 z s2 d", 1, -2, "zed", "ess", 1.5):byte(1, -1))
print(string.unpack(">I2 <I4 f", "\1\2\3\0\0\0\0\0\128\63"))
print(utf8.char(72, 228, 8364, 128512), utf8.len("Hä€😀"), utf8.codepoint("€", 1))

section("tables")
local t = {}
for i = 1, 5000 do t[i] = (i * 7919) % 5003 end
table.sort(t, function(a, b) return a > b end)
print(t[1], t[2500], t[5000], #t, select("#", table.unpack(t, 1, 200)))
table.move(t, 1, 10, 5)
print(table.concat(t, " ", 1, 20))
local hash = {}
for i = 1, 20000 do local k = "k" .. i % 997; hash[k] = (hash[k] or 0) + i end
local keys = {}
for k in pairs(hash) do keys[#keys + 1] = k end
table.sort(keys)
print(#keys, hash.k1, hash.k996, keys[1], keys[#keys])

section("closures and coroutines")
local function counter() local n = 0; return function() n = n + 1; return n end end
local a, b = counter(), counter()
a(); a(); b()
print(a(), b())
local function permutations(list, n)
  n = n or #list
  if n <= 1 then coroutine.yield(table.concat(list)) end
  for i = 1, n do
    list[n], list[i] = list[i], list[n]
    permutations(list, n - 1)
    list[n], list[i] = list[i], list[n]
  end
end
local count, last = 0
for p in coroutine.wrap(function() permutations { "a", "b", "c", "d", "e", "f" } end) do count, last = count + 1, p end
print(count, last)

section("objects and errors")
local Vector = {}
Vector.__index = Vector
Vector.__add = function(x, y) return setmetatable({ x[1] + y[1], x[2] + y[2] }, Vector) end
Vector.__eq = function(x, y) return x[1] == y[1] and x[2] == y[2] end
Vector.__tostring = function(v) return ("(%g, %g)"):format(v[1], v[2]) end
Vector.__close = function() print("closed") end
local v = setmetatable({ 1, 2 }, Vector)
print(tostring(v + v), v == setmetatable({ 1, 2 }, Vector))
do local c <close> = v end
print(pcall(error, { code = 7 }), select(2, pcall(function() return nil + 1 end)))
print(select(2, xpcall(function() local x = {} ; return x.y.z end, function(m) return "handled: " .. m end)))
print(load("return 1 +")) print(load("return ...", "chunk", "t", {})(9))
goto done
print("skipped")
::done::

section("garbage")
local weak = setmetatable({}, { __mode = "k" })
for i = 1, 5000 do weak[{}] = { i, tostring(i) } end
collectgarbage()
local left = 0
for _ in pairs(weak) do left = left + 1 end
print(left)

section("work")
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print(fib(22))
local N, queens = 7, 0
local function place(row, columns, up, down)
  if row > N then queens = queens + 1 return end
  for c = 1, N do
    if not columns[c] and not up[row + c] and not down[row - c + N] then
      columns[c], up[row + c], down[row - c + N] = true, true, true
      place(row + 1, columns, up, down)
      columns[c], up[row + c], down[row - c + N] = nil, nil, nil
    end
  end
end
place(1, {}, {}, {})
print(queens)
print(#arg, arg[1], arg[2])
os.exit(3)
