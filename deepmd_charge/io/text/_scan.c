// SPDX-License-Identifier: LGPL-3.0-or-later
// Numbers of a text, for _numbers.py.

#include "_decimal.h"
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { EXACT = 22, FIELD = 17 };

// White space of Python's bytes.split().
static int is_blank(unsigned char c) { return c == ' ' || (unsigned char)(c - '\t') < 5; }
static int is_digit(unsigned char c) { return (unsigned char)(c - '0') < 10; }

// mantissa * 10^exponent, correctly rounded; 0 where this cannot tell, or the value is
// infinite or has less than 53 bits.
//
// Up to 2^53 and 1e22 both factors are exact, and IEEE rounds once. Beyond, what the
// product is too small by can matter only where its leading bits carry or decide a tie.
static int decimal(uint64_t mantissa, int exponent, const uint64_t* powers, double* value) {
  if (mantissa <= 1ull << 53 && exponent >= -EXACT && exponent <= EXACT) {
    double number = (double)(int64_t)mantissa;
    *value = exponent < 0 ? number / POWERS[-exponent] : number * POWERS[exponent];
    return 1;
  }
  if (mantissa == 0) {
    *value = 0.0;
    return 1;
  }
  if (exponent < LEAST || exponent > MOST) return 0;
  int binary = binary_exponent(exponent) + 63 + 1023;  // biased
  for (int n = 32; n; n /= 2)
    if (!(mantissa >> (64 - n))) mantissa <<= n, binary -= n;
  uint64_t low, high = times_power(mantissa, exponent, powers, &low);
  int one = (int)(high >> 63), dropped = 10 + one;
  uint64_t half = 1ull << (dropped - 1), rest = high & (2 * half - 1);
  binary += one;
  if (low >= UINT64_MAX - 1 || (rest == half && low == 0) || binary < 1 || binary > 2045) return 0;
  // the leading one of the 53 bits adds 1 to the exponent, and so does a carry
  uint64_t bits = ((uint64_t)(binary - 1) << 52) + (high >> dropped) + (rest >= half);
  memcpy(value, &bits, 8);
  return 1;
}

// VASP's field behind its blank, 0.12345678901E+03 or -.12345678901E+03: where the
// text after it goes on, or NULL.
static inline const unsigned char* field(const unsigned char* text, const unsigned char* end,
                                         const uint64_t* powers, double* value) {
#if defined(__SSE2__) || defined(_M_X64)
  if (end - text <= FIELD || (*text != '0' && *text != '-') || !is_blank(text[FIELD])) return NULL;
  const __m128i zero = _mm_setr_epi8('.', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0',
                                     'E', '+', '0', '0');
  const __m128i most = _mm_setr_epi8(0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, '-' - '+', 9, 9);
  __m128i bytes = _mm_sub_epi8(_mm_loadu_si128((const __m128i*)(text + 1)), zero);
  __m128i over = _mm_subs_epu8(bytes, most);
  if (_mm_movemask_epi8(_mm_cmpeq_epi8(over, _mm_setzero_si128())) != 0xFFFF) return NULL;
  // two digits each, of which the first is the point and a digit, and the last but one
  // E and the sign; then 3, 4 and 4 digits, and the exponent
  __m128i high = _mm_and_si128(bytes, _mm_set1_epi16(0xFF)), low = _mm_srli_epi16(bytes, 8);
  __m128i pairs = _mm_add_epi16(_mm_mullo_epi16(high, _mm_set1_epi16(10)), low);
  __m128i parts = _mm_madd_epi16(pairs, _mm_setr_epi16(100, 1, 100, 1, 100, 1, 128, 1));
  __m128d first = _mm_mul_pd(_mm_cvtepi32_pd(parts), _mm_setr_pd(1e8, 1e4));
  __m128d last = _mm_cvtepi32_pd(_mm_unpackhi_epi64(parts, parts));
  double mantissa =
      _mm_cvtsd_f64(_mm_add_sd(_mm_add_sd(first, _mm_unpackhi_pd(first, first)), last));
  int exponent = _mm_extract_epi16(parts, 6), sign = exponent >> 7;
  if (sign == ',' - '+') return NULL;
  exponent = DIGITS - (sign ? 256 - exponent : exponent);
  if (exponent >= 0 && exponent <= EXACT)
    *value = mantissa / POWERS[exponent];
  else if (!decimal((uint64_t)mantissa, -exponent, powers, value))
    return NULL;
  if (*text == '-') *value = -*value;
  return text + FIELD;
#else
  (void)text, (void)end, (void)powers, (void)value;
  return NULL;
#endif
}

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

// Up to the first character that is no digit, or the first digit that is too much.
static const unsigned char* digits(const unsigned char* text, const unsigned char* end,
                                   uint64_t* number) {
  while (text < end && is_digit(*text) && *number <= (UINT64_MAX - 9) / 10)
    *number = *number * 10 + (uint64_t)(*text++ - '0');
  return text;
}

// Any decimal number of up to 19 digits, also Fortran's 0.1D+01 and 0.1-100: where the
// text after it goes on, or NULL.
static const unsigned char* word(const unsigned char* text, const unsigned char* end,
                                 const uint64_t* powers, double* value) {
  int negative = *text == '-';
  text += negative || *text == '+';
  uint64_t mantissa = 0, power = 0;
  const unsigned char* start = text;
  text = digits(text, end, &mantissa);
  ptrdiff_t n_digits = text - start, n_decimals = 0;
  if (text < end && *text == '.') {
    start = ++text;
    while (end - text >= 8 && mantissa < 100000000000 && eight_digits(text, &mantissa)) text += 8;
    text = digits(text, end, &mantissa);
    n_decimals = text - start;
  }
  if (n_digits + n_decimals == 0 || text == end || n_decimals > 9999) return NULL;
  int small = 0;
  if (!is_blank(*text)) {
    int marked = (*text | 0x20) == 'e' || (*text | 0x20) == 'd';
    if ((text += marked) == end) return NULL;
    small = *text == '-';
    int is_signed = small || *text == '+';
    start = text += is_signed;
    text = digits(text, end, &power);
    if (text == start || text == end || !is_blank(*text) || power > 9999) return NULL;
    if (!marked && !(is_signed && text - start == 3)) return NULL;
  }
  int exponent = (small ? -(int)power : (int)power) - (int)n_decimals;
  if (!decimal(mantissa, exponent, powers, value)) return NULL;
  if (negative) *value = -*value;
  return text;
}

// Convert words of a text into the `most` places of `values`, each divided by `divisor`,
// up to the last place, the end of the text, or a word that is not understood. Returns
// how many. `*place`, where it begins in the text, becomes the end of the last word (or
// the start of that word, or the end of the text), and `*lines` grows by the line ends
// that were passed.
#ifdef _WIN32
__declspec(dllexport)
#endif
int64_t deepmd_charge_scan_into(const uint64_t* powers, const unsigned char* text, int64_t size,
                           double divisor, double* values, int64_t most, int64_t* place,
                           int64_t* lines) {
  const unsigned char *end = text + size, *here = text + *place, *next;
  int64_t count = 0, n_lines = 0;
  for (; count < most; ++count) {
    for (; here < end && is_blank(*here); ++here) n_lines += *here == '\n';
    if (here == end) break;
    double value;
    if (!(next = field(here, end, powers, &value)) && !(next = word(here, end, powers, &value)))
      break;
    values[count] = value / divisor;
    here = next;
  }
  *place = here - text;
  *lines += n_lines;
  return count;
}
