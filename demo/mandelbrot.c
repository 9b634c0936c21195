/* Draws the Mandelbrot set in a terminal, then says what it computed.

   mandelbrot [rounds] [colour]

   Every round computes the picture anew (doubles), takes its CRC-32 bit by bit and sorts its columns
   by weight (integers), so the work grows in proportion to the rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 76
#define HEIGHT 44
#define LIMIT 100

static uint16_t picture[HEIGHT][WIDTH];

static int escape(double x0, double y0)
{
    double x = 0, y = 0;
    int n = 0;
    while (n < LIMIT && x * x + y * y <= 4.0) {
        double next = x * x - y * y + x0;
        y = 2 * x * y + y0;
        x = next;
        n++;
    }
    return n;
}

static void compute(void)
{
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++)
            picture[row][column] = (uint16_t)escape(-2.1 + 2.8 * column / WIDTH, -1.15 + 2.3 * row / HEIGHT);
}

static uint32_t crc32(uint32_t crc)
{
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++) {
            crc ^= picture[row][column];
            for (int bit = 0; bit < 16; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    return crc;
}

static uint32_t heaviest_column(void)
{
    uint32_t weights[WIDTH];
    memset(weights, 0, sizeof weights);
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++)
            weights[column] += picture[row][column];
    for (int i = 1; i < WIDTH; i++)
        for (int j = i; j > 0 && weights[j - 1] > weights[j]; j--) {
            uint32_t kept = weights[j];
            weights[j] = weights[j - 1];
            weights[j - 1] = kept;
        }
    return weights[WIDTH - 1];
}

static int shade(int n) { return n >= LIMIT ? 16 : 17 + n * 5 % 214; }

/* Two rows of the picture in one of text: a half block has an upper and a lower colour. */
static void draw_in_colour(void)
{
    for (int row = 0; row < HEIGHT; row += 2) {
        for (int column = 0; column < WIDTH; column++)
            printf("\033[38;5;%d;48;5;%dm\u2580", shade(picture[row][column]), shade(picture[row + 1][column]));
        puts("\033[0m");
    }
}

static void draw(void)
{
    for (int row = 0; row < HEIGHT; row += 2) {
        for (int column = 0; column < WIDTH; column++) {
            int n = picture[row][column];
            putchar(n >= LIMIT ? '@' : " .:-=+*#%"[n > 40 ? 8 : n / 5]);
        }
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    uint32_t crc = 0xffffffffu, weight = 0;
    for (int i = 0; i < rounds; i++) {
        compute();
        crc = crc32(crc);
        weight = heaviest_column();
    }
    if (argc > 2)
        draw_in_colour();
    else
        draw();
    printf("%d rounds, CRC-32 %08x, heaviest column %u\n", rounds, (unsigned)~crc, (unsigned)weight);
    return 0;
}
