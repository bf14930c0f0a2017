// SPDX-License-Identifier: LGPL-3.0-or-later
// Numbers of a text, for _numbers.py. Plain C without Python's headers.

#include <stdint.h>
#include <string.h>

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { MOST = 22, MOST_EXPONENT = 280, MOST_DIGITS = 18 };

static int is_blank(unsigned char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
static int is_digit(unsigned char c) { return (unsigned char)(c - '0') <= 9; }

// Eight digits at once, in a little-endian word (Lemire, Software: Practice and
// Experience 51, 1700 (2021)); 0 where there are others.
static int eight_digits(const unsigned char* text, uint64_t* number) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return 0;
#else
  uint64_t word;
  memcpy(&word, text, 8);
  uint64_t low = word - 0x3030303030303030u;
  if (((word + 0x4646464646464646u) | low) & 0x8080808080808080u) return 0;
  low = low * 10 + (low >> 8);
  low = ((low & 0x000000FF000000FFu) * (100 + (1000000ull << 32)) +
         ((low >> 16) & 0x000000FF000000FFu) * (1 + (10000ull << 32))) >> 32;
  *number = *number * 100000000 + low;
  return 1;
#endif
}

static const unsigned char* digits(const unsigned char* text,
                                   const unsigned char* end, uint64_t* number) {
  if (end - text >= 8 && eight_digits(text, number)) text += 8;
  for (int n = 0; n < MOST_DIGITS && text < end && is_digit(*text); ++n)
    *number = *number * 10 + (uint64_t)(*text++ - '0');
  return text;
}

// Convert all words of a text that ends in white space. Returns how many there
// are, or -1 if one is no decimal number, or has more than 18 digits, or exceeds
// 2^53 without its point. Values are correctly rounded while the power of ten is
// at most 1e22, and a few units of the last place off beyond.
#ifdef _WIN32
__declspec(dllexport)
#endif
int64_t deepmd_charge_scan(const unsigned char* text, int64_t size, double* values) {
  const unsigned char* end = text + size;
  int64_t count = 0;
  for (;; ++count) {
    while (text < end && is_blank(*text)) ++text;
    if (text == end) return count;
    int negative = *text == '-';
    text += negative || *text == '+';
    uint64_t mantissa = 0;
    int64_t exponent = 0;
    const unsigned char* start = text;
    text = digits(text, end, &mantissa);
    int64_t n_digits = text - start, n_decimals = 0;
    if (text < end && *text == '.') {
      start = ++text;
      text = digits(text, end, &mantissa);
      n_decimals = text - start;
    }
    if (text < end && (*text == 'E' || *text == 'e')) {
      int small = ++text < end && *text == '-';
      text += text < end && (small || *text == '+');
      start = text;
      while (text < end && text - start < 3 && is_digit(*text))
        exponent = exponent * 10 + (*text++ - '0');
      if (text == start) return -1;
      if (small) exponent = -exponent;
    }
    n_digits += n_decimals;
    exponent -= n_decimals;
    if (text == end || !is_blank(*text) || !n_digits || n_digits > MOST_DIGITS ||
        mantissa > (1ull << 53) || exponent > MOST_EXPONENT || exponent < -MOST_EXPONENT)
      return -1;
    double value = (double)mantissa;
    for (; exponent > MOST; exponent -= MOST) value *= POWERS[MOST];
    for (; exponent < -MOST; exponent += MOST) value /= POWERS[MOST];
    value = exponent < 0 ? value / POWERS[-exponent] : value * POWERS[exponent];
    values[count] = negative ? -value : value;
  }
}
