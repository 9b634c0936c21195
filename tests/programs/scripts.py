"""Inputs of the real programs, made the same every time: SQL, text, bytes, Lua."""

from __future__ import annotations

import random
from pathlib import Path

SEED = 20
WORDS = (
    "register memory branch carry overflow condition link count float store load cache block "
    "region handler record guest host signal thread page fault entry table field row value"
).split()

FOLDER = Path(__file__).resolve().parent


def text(size: int) -> bytes:
    """English-like lines."""
    chance = random.Random(SEED)
    lines: list[str] = []
    length = 0
    while length < size:
        line = " ".join(chance.choice(WORDS) for _ in range(chance.randint(3, 14)))
        lines.append(f"{len(lines)}: {line}.")
        length += len(lines[-1]) + 1
    return "\n".join(lines).encode()[:size]


def data(size: int) -> bytes:
    """A third of text, a third of noise, a third of slowly changing numbers."""
    chance = random.Random(SEED)
    third = size // 3
    slopes = b"".join((1000 + n * n // 7).to_bytes(4, "big") for n in range(third // 4))
    return text(third) + chance.randbytes(third) + slopes


def sql(rows: int) -> bytes:
    """A script that inserts so many rows one by one, changes them and asks about them."""
    chance = random.Random(SEED)
    lines = [
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, kind INT, note BLOB);",
        "CREATE TABLE kind(id INTEGER PRIMARY KEY, word TEXT UNIQUE);",
        "BEGIN;",
    ]
    lines += [f"INSERT INTO kind VALUES({n}, '{word}');" for n, word in enumerate(WORDS)]
    for n in range(rows):
        name = f"{chance.choice(WORDS)}-{chance.randint(0, 9999)}"
        price = round(chance.uniform(0.01, 999.99), 2)
        note = "NULL" if n % 3 else f"x'{chance.randbytes(6).hex()}'"
        kind = chance.randrange(len(WORDS))
        lines.append(f"INSERT INTO item VALUES({n}, '{name}', {price}, {kind}, {note});")
    return "\n".join([*lines, "COMMIT;", QUESTIONS]).encode()


QUESTIONS = """
CREATE INDEX by_name ON item(name);
CREATE INDEX by_kind ON item(kind, price);
SELECT count(*), sum(price), avg(price), min(name), max(name), total(length(note)) FROM item;
SELECT word, count(*), round(sum(price), 4), printf('%.3f', avg(price * price))
  FROM item JOIN kind ON kind.id = item.kind GROUP BY word ORDER BY 2 DESC, 1;
SELECT name, price FROM item WHERE name LIKE 'carry-1%' AND price BETWEEN 100 AND 120 ORDER BY name, price;
UPDATE item SET price = price * 1.07, name = upper(name) WHERE kind IN (SELECT id FROM kind WHERE word < 'f');
DELETE FROM item WHERE id % 17 = 3;
SELECT id, name, hex(note), typeof(note), price FROM item ORDER BY price DESC, id LIMIT 25;
SELECT substr(name, 1, 5) AS head, count(DISTINCT kind) FROM item GROUP BY head HAVING count(*) > 50 ORDER BY head;
WITH RECURSIVE n(i, a, b) AS (VALUES(1, 0, 1) UNION ALL SELECT i + 1, b, a + b FROM n WHERE i < 80)
  SELECT i, a FROM n WHERE i % 10 = 0;
SELECT kind, id, price, sum(price) OVER w, rank() OVER w FROM item WHERE id < 300 WINDOW w AS (PARTITION BY kind ORDER BY price, id) ORDER BY kind, price, id LIMIT 60;
SELECT round(sqrt(2), 12), round(exp(1), 12), round(sin(1), 12), pow(2, 0.5) > 1.41, 7 / 2, -7 / 2, -7 % 3, 7.0 / 2, 1e300 * 1e10, 0x7fffffffffffffff;
SELECT json_extract('{"a": [1, 2.5, {"b": "c"}]}', '$.a[2].b'), json_array(1, 'two', 3.0), json_group_array(word) FROM kind;
SELECT strftime('%Y-%m-%d %H:%M', 1234567890, 'unixepoch'), julianday('2024-02-29'), date('2024-01-31', '+1 month');
SELECT quote(zeroblob(4)), unicode('é'), lower('ÀB'), replace('aXbX', 'X', '--'), instr('haystack', 'st');
PRAGMA integrity_check;
VACUUM;
SELECT count(*), sum(id), round(sum(price), 6) FROM item;
"""  # noqa: E501
