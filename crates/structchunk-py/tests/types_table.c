/* The table of types, `golden/layouts.txt` of the library, as C has it. Prints what the compiler has made of each: a line "S name size align" for a
 * struct, and for each field "F name bit kind dimensions..." or, for bit-fields, "B name bit width signed". */

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KIND(it) \
    _Generic((it), uint8_t: "u1", int8_t: "i1", char: "u1", bool: "u1", uint16_t: "u2", int16_t: "i2", uint32_t: "u4", int32_t: "i4", \
        uint64_t: "u8", int64_t: "i8", float: "f4", double: "f8", Point: "Point", SinglePoint: "SinglePoint", Padded: "Padded", Nested: "Nested")
#define STRUCT(T) printf("S %s %zu %zu\n", #T, sizeof(T), alignof(T))
#define OF(T, f) (((T *)0)->f)
#define BEGIN(T, f, it) printf("F %s %zu %s", #f, 8 * offsetof(T, f), KIND(it))
#define LENGTH(a) printf(" %zu", sizeof(a) / sizeof((a)[0]))
#define FIELD(T, f) (BEGIN(T, f, OF(T, f)), puts(""))
#define ARRAY(T, f) (BEGIN(T, f, OF(T, f)[0]), LENGTH(OF(T, f)), puts(""))
#define TABLE(T, f) (BEGIN(T, f, OF(T, f)[0][0]), LENGTH(OF(T, f)), LENGTH(OF(T, f)[0]), puts(""))
#define TENSOR(T, f) \
    (BEGIN(T, f, OF(T, f)[0][0][0][0]), LENGTH(OF(T, f)), LENGTH(OF(T, f)[0]), LENGTH(OF(T, f)[0][0]), \
        LENGTH(OF(T, f)[0][0][0]), puts(""))
/* Where bits are only the bits can tell. */
#define BITS(T, f) \
    do { \
        T it; \
        memset(&it, 0, sizeof it); \
        it.f = -1; \
        show_bits(#f, (const unsigned char *)&it, sizeof it, it.f < 0); \
    } while (0)

static void show_bits(const char *name, const unsigned char *bytes, size_t count, bool is_signed) {
    size_t first = 0, width = 0;
    for (size_t bit = 8 * count; bit-- > 0;)
        if (bytes[bit / 8] >> bit % 8 & 1) {
            first = bit;
            width += 1;
        }
    printf("B %s %zu %zu %d\n", name, first, width, is_signed);
}

typedef struct { uint8_t x; } One;
typedef struct { uint64_t a; uint32_t b; uint16_t c; uint8_t d, e; } Unsigned;
typedef struct { int64_t a; int32_t b; int16_t c; int8_t d, e; } Signed;
typedef struct { size_t u; ptrdiff_t i; } PlatformIntegers;
typedef struct { bool a, b[3]; } Booleans;
typedef struct { double x, y; } Point;
typedef struct { float x, y; } SinglePoint;
typedef struct { double x0, y0; } PointOfOtherNames;
typedef struct { double y, x; } PointOtherWayRound;
typedef struct { double position[3], velocity[3]; float charge; uint32_t id; } Particle;
typedef struct { uint8_t data[10]; } Bytes;
typedef struct { char name[16]; } Name;
typedef struct { uint32_t name[10]; } Wide;
typedef struct { double m[2][3]; } Matrix;
typedef struct { double m[6]; } Flat;
typedef struct { double m[1][1]; } OneByOne;
typedef struct { double m; } Scalar64;
typedef struct { int16_t t[5][4][3][2]; } FourDimensions;
typedef struct { double z[2]; float row[4][2]; } ComplexNumbers;
typedef struct { int64_t at, lasting; } Times;
#pragma pack(push, 1)
typedef struct { uint16_t a; uint32_t b; uint64_t c; int16_t d; int32_t e; int64_t f; float g; double h; } LittleEndian;
typedef struct { uint8_t tag; uint32_t length; uint64_t value; } PackedLikeC;
typedef struct { uint8_t a; double b; uint32_t c; } UnalignedPacked;
#pragma pack(pop)
typedef struct { uint8_t a; uint32_t b; uint8_t c; double d; } Padded;
typedef struct { uint64_t a; uint8_t b; } PaddedAtTheEnd;
typedef struct { uint64_t a; uint8_t _padding[8]; } NotPadding;
typedef struct { uint8_t a, b[7]; uint64_t c; } GapFilledByName;
typedef struct { uint64_t x; uint8_t _pad[56]; } CacheLine;
typedef struct { Point first; SinglePoint second; } Nested;
typedef struct { uint64_t label; Nested nested; Point point; } NestedDeep;
typedef struct { Point points[3]; SinglePoint grid[4][2]; } NestedArray;
typedef struct { Padded inner[2]; } NestedPadded;
typedef struct { uint32_t type, match; } Keyword;
typedef struct { double größe, 高さ; } Unicode;
typedef struct { uint8_t exactly8, exactly_16_bytes; } EightByteName;
typedef struct { uint32_t st_name; uint8_t st_info, st_other; uint16_t st_shndx; uint64_t st_value, st_size; } ElfSymbol;
typedef union { double f; int64_t i; uint8_t bytes[8]; uint32_t low; } UnionOfNumbers;
typedef struct { uint32_t tag; union { Point point; uint64_t id; }; } UnionMember;
typedef struct { uint32_t a : 3; int32_t b : 13; uint32_t flag : 1; uint32_t rest; } BitFields;
typedef struct { int64_t first, second; } DeclaredBackwards;

int main(void) {
    STRUCT(One), FIELD(One, x);
    STRUCT(Unsigned), FIELD(Unsigned, a), FIELD(Unsigned, b), FIELD(Unsigned, c), FIELD(Unsigned, d), FIELD(Unsigned, e);
    STRUCT(Signed), FIELD(Signed, a), FIELD(Signed, b), FIELD(Signed, c), FIELD(Signed, d), FIELD(Signed, e);
    STRUCT(PlatformIntegers), FIELD(PlatformIntegers, u), FIELD(PlatformIntegers, i);
    STRUCT(Booleans), FIELD(Booleans, a), ARRAY(Booleans, b);
    STRUCT(Point), FIELD(Point, x), FIELD(Point, y);
    STRUCT(SinglePoint), FIELD(SinglePoint, x), FIELD(SinglePoint, y);
    STRUCT(PointOfOtherNames), FIELD(PointOfOtherNames, x0), FIELD(PointOfOtherNames, y0);
    STRUCT(PointOtherWayRound), FIELD(PointOtherWayRound, y), FIELD(PointOtherWayRound, x);
    STRUCT(Particle), ARRAY(Particle, position), ARRAY(Particle, velocity), FIELD(Particle, charge), FIELD(Particle, id);
    STRUCT(Bytes), ARRAY(Bytes, data);
    STRUCT(Name), ARRAY(Name, name);
    STRUCT(Wide), ARRAY(Wide, name);
    STRUCT(Matrix), TABLE(Matrix, m);
    STRUCT(Flat), ARRAY(Flat, m);
    STRUCT(OneByOne), TABLE(OneByOne, m);
    STRUCT(Scalar64), FIELD(Scalar64, m);
    STRUCT(FourDimensions), TENSOR(FourDimensions, t);
    STRUCT(ComplexNumbers), ARRAY(ComplexNumbers, z), TABLE(ComplexNumbers, row);
    STRUCT(Times), FIELD(Times, at), FIELD(Times, lasting);
    STRUCT(LittleEndian), FIELD(LittleEndian, a), FIELD(LittleEndian, b), FIELD(LittleEndian, c), FIELD(LittleEndian, d);
    FIELD(LittleEndian, e), FIELD(LittleEndian, f), FIELD(LittleEndian, g), FIELD(LittleEndian, h);
    STRUCT(PackedLikeC), FIELD(PackedLikeC, tag), FIELD(PackedLikeC, length), FIELD(PackedLikeC, value);
    STRUCT(UnalignedPacked), FIELD(UnalignedPacked, a), FIELD(UnalignedPacked, b), FIELD(UnalignedPacked, c);
    STRUCT(Padded), FIELD(Padded, a), FIELD(Padded, b), FIELD(Padded, c), FIELD(Padded, d);
    STRUCT(PaddedAtTheEnd), FIELD(PaddedAtTheEnd, a), FIELD(PaddedAtTheEnd, b);
    STRUCT(NotPadding), FIELD(NotPadding, a), ARRAY(NotPadding, _padding);
    STRUCT(GapFilledByName), FIELD(GapFilledByName, a), ARRAY(GapFilledByName, b), FIELD(GapFilledByName, c);
    STRUCT(CacheLine), FIELD(CacheLine, x);
    STRUCT(Nested), FIELD(Nested, first), FIELD(Nested, second);
    STRUCT(NestedDeep), FIELD(NestedDeep, label), FIELD(NestedDeep, nested), FIELD(NestedDeep, point);
    STRUCT(NestedArray), ARRAY(NestedArray, points), TABLE(NestedArray, grid);
    STRUCT(NestedPadded), ARRAY(NestedPadded, inner);
    STRUCT(Keyword), FIELD(Keyword, type), FIELD(Keyword, match);
    STRUCT(Unicode), FIELD(Unicode, größe), FIELD(Unicode, 高さ);
    STRUCT(EightByteName), FIELD(EightByteName, exactly8), FIELD(EightByteName, exactly_16_bytes);
    STRUCT(ElfSymbol), FIELD(ElfSymbol, st_name), FIELD(ElfSymbol, st_info), FIELD(ElfSymbol, st_other);
    FIELD(ElfSymbol, st_shndx), FIELD(ElfSymbol, st_value), FIELD(ElfSymbol, st_size);
    STRUCT(UnionOfNumbers), FIELD(UnionOfNumbers, f), FIELD(UnionOfNumbers, i), ARRAY(UnionOfNumbers, bytes);
    FIELD(UnionOfNumbers, low);
    STRUCT(UnionMember), FIELD(UnionMember, tag), FIELD(UnionMember, point), FIELD(UnionMember, id);
    STRUCT(BitFields);
    BITS(BitFields, a);
    BITS(BitFields, b);
    BITS(BitFields, flag);
    FIELD(BitFields, rest);
    STRUCT(DeclaredBackwards), FIELD(DeclaredBackwards, first), FIELD(DeclaredBackwards, second);
}
