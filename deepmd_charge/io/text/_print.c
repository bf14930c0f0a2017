// SPDX-License-Identifier: LGPL-3.0-or-later
// Numbers to a text, for _numbers.py.

#include "_decimal.h"

enum { FIELD = 18 };  // " 0.12345678901E+00"

// The decimal number of so many digits next to a positive double is
// 0.number * 10^exponent; 0 where this cannot tell which of two is nearer.
//
// The double's bits times a power of ten that makes a whole number of them, below 2^37:
// 27 of the 64 high bits of the product, and the low ones, are left for the fraction.
static inline int nearest(double size, int n_digits, const uint64_t* powers, uint64_t* number,
                          int* exponent) {
  uint64_t bits, low, limit = n_digits == DIGITS ? 100000000000u : 10000000000u;
  memcpy(&bits, &size, 8);
  int binary = (int)(bits >> 52) - 1023;  // floor(log2(size))
  bits = bits << 11 | 1ull << 63;
  if (binary == -1023)  // no leading one
    for (bits <<= 1; bits >> 63 == 0; bits <<= 1) --binary;
  int ten = (binary * 315653 >> 20) + 1;  // 2^binary < 10^ten, but perhaps not the double
  ten += binary == binary_exponent(ten) && bits >= powers[2 * (ten - LEAST)];
  int power = n_digits - ten, dropped = 62 - binary - binary_exponent(power);
  uint64_t high = times_power(bits, power, powers, &low);
  uint64_t half = 1ull << (dropped - 1), rest = high & (2 * half - 1);
  if ((rest == half && low == 0) || (rest == half - 1 && low >= UINT64_MAX - 1)) return 0;
  *number = (high >> dropped) + (rest >= half);
  if (*number == limit) *number /= 10, ++ten;
  *exponent = ten;
  return 1;
}

static inline void pair(char* text, unsigned number) {
  static const char pairs[] =
      "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
      "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
  memcpy(text, pairs + 2 * number, 2);
}

// As format_values says; 0 where it cannot be told.
static inline int field(double value, const uint64_t* powers, char* text) {
  uint64_t number = 0;
  int exponent = 0, is_negative = value < 0;
  double size = is_negative ? -value : value;
  int wide = !(size > 1e-98 && size < 1e98);
  if (size > 0 && !nearest(size, wide ? DIGITS - 1 : DIGITS, powers, &number, &exponent)) return 0;
  wide = wide && size > 0;
  if (wide) number *= 10, --exponent;
  unsigned high = (unsigned)(number / 100000000), low = (unsigned)(number % 100000000);
  unsigned power = (unsigned)(exponent < 0 ? -exponent : exponent);
  memcpy(text, is_negative ? " -." : " 0.", 3);
  text[3] = (char)('0' + high / 100);
  pair(text + 4, high % 100);
  pair(text + 6, low / 1000000);
  pair(text + 8, low / 10000 % 100);
  pair(text + 10, low / 100 % 100);
  pair(text + 12, low % 100);
  text[14] = 'E';
  text[15] = exponent < 0 ? '-' : '+';
  pair(text + 16, power % 100);
  if (!wide) return 1;
  // 1.234567890E+123 to the right
  text[1] = is_negative ? '-' : ' ';
  text[2] = text[3];
  text[3] = '.';
  if (power < 100) {
    memmove(text + 2, text + 1, 12);
    text[1] = ' ';
  } else {
    text[13] = 'E';
    text[14] = text[15];
    text[15] = (char)('0' + power / 100);
  }
  return 1;
}

// Print rows of finite values, so many columns in a line; an incomplete line ends in
// two blanks. The places in `values` of those that are left to others, whose fields
// remain as they are, go to `left`. Returns how many these are.
#ifdef _WIN32
__declspec(dllexport)
#endif
int64_t deepmd_charge_print(const uint64_t* powers, const double* values, int64_t n_rows,
                            int64_t n, int64_t columns, char* text, int64_t* left) {
  int64_t n_left = 0;
  for (int64_t row = 0; row < n_rows; ++row)
    for (int64_t first = 0; first < n; first += columns) {
      int64_t end = first + columns < n ? first + columns : n;
      for (int64_t i = row * n + first; i < row * n + end; ++i, text += FIELD)
        if (!field(values[i], powers, text)) left[n_left++] = i;
      if (end - first < columns) *text++ = ' ', *text++ = ' ';
      *text++ = '\n';
    }
  return n_left;
}
