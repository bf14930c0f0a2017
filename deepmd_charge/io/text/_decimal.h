// SPDX-License-Identifier: LGPL-3.0-or-later
// What reading and printing of numbers share. Plain C without Python's headers.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LEAST = -342, MOST = 335 };  // powers of ten in the table
enum { DIGITS = 11 };               // of a field of VASP, 0.12345678901E+03

// floor(log2(10^power)), for the powers in the table
static inline int binary_exponent(int power) { return 217706 * power >> 16; }

// The 128 bits of a * b; returns the high 64.
static inline uint64_t multiply(uint64_t a, uint64_t b, uint64_t* low) {
#ifdef __SIZEOF_INT128__
  unsigned __int128 product = (unsigned __int128)a * b;
  *low = (uint64_t)product;
  return (uint64_t)(product >> 64);
#else
  uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
  uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
  *low = a * b;
  return a1 * b1 + (middle >> 32) + (other >> 32);
#endif
}

// The leading 128 of the 192 bits of a and a power of ten, which `powers` has in two
// words, the high one first, cut off; returns the high 64. They are too small by less
// than two in the last place.
static inline uint64_t times_power(uint64_t a, int power, const uint64_t* powers, uint64_t* low) {
  powers += 2 * (power - LEAST);
  uint64_t ignored, high = multiply(a, powers[0], low), more = multiply(a, powers[1], &ignored);
  *low += more;
  return high + (*low < more);
}
