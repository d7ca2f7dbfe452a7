/* test_safetensors.c: what we write, we and Python read back; what Python writes, we read; what breaks a rule of the
 * format is refused with a line that names the file; a failed write leaves the old file as it was, and nothing else.
 *
 *   test_safetensors           all checks
 *   test_safetensors PATH      only writes the file that `python3 tests/safetensors_check.py read PATH` checks */
#define ERROR_IMPLEMENTATION
#define FILES_IMPLEMENTATION
#define SAFETENSORS_IMPLEMENTATION
#include "core/safetensors.h"
#include "test.h"
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static char folder[200], path[300];             /* a new folder for this run, and a file in it */

static const char *data_folder(void) { return getenv("TESTS") ? getenv("TESTS") : "tests"; }

/* ---- the tensors of safetensors_check.py ------------------------------------------------------------------------- */

static const float f32[] = {-0.5f, -0.25f, 0, 0.25f, 0.5f, 3.0e38f}, scalar = 42, one = 1;
static const double f64[] = {3.141592653589793, -1e300, 5e-324};
static const uint16_t f16[] = {0x3E00, 0xC000, 0x7BFF, 0x0001, 0x7C00, 0x8000};
static const int64_t i64[] = {INT64_MIN, INT64_MAX};
static const int32_t i32[] = {-7, 8};
static const uint8_t u8[] = {0, 127, 255}, boolean[] = {1, 0};

#define ODD_NAME "a \"name\" \\ \xE8\xA1\xA3/\n"
static const StTensor tensors[] = {
    {"f64", "F64", 1, {3}, f64, sizeof f64},            {"i64", "I64", 1, {2}, i64, sizeof i64},
    {"f32", "F32", 2, {2, 3}, f32, sizeof f32},         {"i32", "I32", 3, {1, 2, 1}, i32, sizeof i32},
    {"scalar", "F32", 0, {0}, &scalar, sizeof scalar},  {"empty", "F32", 2, {0, 3}, NULL, 0},
    {ODD_NAME, "F32", 1, {1}, &one, sizeof one},        {"f16", "F16", 1, {6}, f16, sizeof f16},
    {"u8", "U8", 1, {3}, u8, sizeof u8},                {"bool", "BOOL", 1, {2}, boolean, sizeof boolean},
};
static const StMeta metas[] = {
    {"step", "500"},
    {"title", "\xE6\x97\xB6\xE8\xA3\x85 \"GAN\" \\ caf\xC3\xA9 \xF0\x9F\x91\x97"},
    {"lines", "one\ntwo\tthree\x01"},
};
enum { TENSORS = sizeof tensors / sizeof *tensors, METAS = sizeof metas / sizeof *metas };

static void check_contents(const char *file) {
    StFile f;
    int ok = st_open(&f, file);
    CHECK(ok, "%s", error_text());
    if (!ok) return;
    CHECK(f.count == TENSORS && f.metas == METAS, "%s: %d tensors, %d metadata", file, f.count, f.metas);
    for (int i = 0; i < TENSORS; i++) {
        const StTensor *want = &tensors[i], *got = st_find(&f, want->name);
        CHECK(got, "%s: no tensor '%s'", file, want->name);
        if (!got) continue;
        CHECK(!strcmp(got->dtype, want->dtype) && got->rank == want->rank, "%s: dtype or rank", want->name);
        CHECK(got->bytes == want->bytes, "%s: %zu bytes", want->name, got->bytes);
        CHECK(!memcmp(got->shape, want->shape, (size_t)want->rank * sizeof(long)), "%s: shape", want->name);
        CHECK(got->bytes == 0 || !memcmp(got->data, want->data, got->bytes), "%s: values", want->name);
    }
    for (int i = 0; i < METAS; i++) {
        const char *value = st_meta(&f, metas[i].key);
        CHECK(value && !strcmp(value, metas[i].value), "%s: '%s' is '%s'", file, metas[i].key, value ? value : "-");
    }
    CHECK(!st_find(&f, "f3") && !st_find(&f, "") && !st_meta(&f, "Step"), "names are compared whole");

    float narrow[6];
    double wide[6];
    CHECK(st_read_f32(st_find(&f, "f32"), narrow, 6) && !memcmp(narrow, f32, sizeof f32), "f32 as float");
    CHECK(st_read_f64(st_find(&f, "f32"), wide, 6) && wide[1] == -0.25 && wide[5] == (double)3.0e38f, "f32 as double");
    CHECK(st_read_f64(st_find(&f, "f64"), wide, 3) && !memcmp(wide, f64, sizeof f64), "f64 as double");
    CHECK(st_read_f32(st_find(&f, "f64"), narrow, 3) && narrow[0] == 3.14159274f && narrow[1] == -INFINITY &&
          narrow[2] == 0, "f64 as float");
    CHECK(st_read_f32(st_find(&f, "f16"), narrow, 6) && narrow[0] == 1.5f && narrow[1] == -2 && narrow[2] == 65504 &&
          narrow[3] == 0x1p-24f && narrow[4] == INFINITY && narrow[5] == 0 && signbit(narrow[5]), "f16 as float");
    CHECK(st_read_f32(st_find(&f, "scalar"), narrow, 1) && narrow[0] == 42, "a scalar is one value");
    CHECK(st_read_f32(st_find(&f, "empty"), narrow, 0), "an empty tensor is no values");
    CHECK(!st_read_f32(st_find(&f, "f32"), narrow, 5) && strstr(error_text(), "f32") && strstr(error_text(), "expected 5"),
          "a count too low: '%s'", error_text());
    CHECK(!st_read_f64(st_find(&f, "f32"), wide, 7), "a count too high");
    CHECK(!st_read_f64(st_find(&f, "f32"), wide, -1), "a negative count");
    CHECK(!st_read_f32(st_find(&f, "i64"), narrow, 2) && strstr(error_text(), "I64"), "integers: '%s'", error_text());
    st_close(&f);
    CHECK(!f.tensors && !f.meta && !f.data && !f.count && !f.metas, "closed is empty");
    st_close(&f);
}

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

static void write_bytes(const char *file, const void *bytes, size_t count) {
    FILE *out = fopen(file, "wb");
    if (!out || fwrite(bytes, 1, count, out) != count || fclose(out)) { perror(file); exit(1); }
}

/* A file of this header and so many bytes of data, 1, 2, 3... */
static void write_raw(const char *header, size_t length, int bytes) {
    unsigned char *all = malloc(8 + length + (size_t)bytes);
    for (int i = 0; i < 8; i++) all[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(all + 8, header, length);
    for (int i = 0; i < bytes; i++) all[8 + length + (size_t)i] = (unsigned char)(i + 1);
    write_bytes(path, all, 8 + length + (size_t)bytes);
    free(all);
}

static void accept(const char *header, int bytes) {
    StFile f;
    write_raw(header, strlen(header), bytes);
    CHECK(st_open(&f, path), "%s: %s", header, error_text());
    st_close(&f);
}

static void check_refused(const char *file, const char *expected, const char *what) {
    StFile f;
    memset(&f, 1, sizeof f);
    fail("nothing");
    CHECK(!st_open(&f, file), "accepted: %s", what);
    CHECK(strstr(error_text(), file) == error_text() && strstr(error_text(), expected) && !strchr(error_text(), '\n'),
          "%s: expected a line with the path and '%s', got '%s'", what, expected, error_text());
    CHECK(!f.tensors && !f.meta && !f.data && !f.count && !f.metas, "a failed open leaves nothing: %s", what);
    st_close(&f);
}

static void refuse(const char *header, int bytes, const char *expected) {
    write_raw(header, strlen(header), bytes);
    check_refused(path, expected, header);
}

static int files_in_folder(void) {
    int count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) count += e->d_name[0] != '.';
    if (d) closedir(d);
    return count;
}

/* ---- the checks -------------------------------------------------------------------------------------------------- */

static void test_round_trip(void) {
    unsigned char head[8], begin;
    CHECK(st_write(path, tensors, TENSORS, metas, METAS), "%s", error_text());
    check_contents(path);
    CHECK(files_in_folder() == 1, "no temporary file is left");

    FILE *in = fopen(path, "rb");
    CHECK(in && fread(head, 1, 8, in) == 8 && head[0] % 8 == 0 && fread(&begin, 1, 1, in) == 1 && begin == '{',
          "the data begin at a multiple of 8, the header with '{'");
    if (in) fclose(in);

    StFile f;
    CHECK(st_open(&f, path), "%s", error_text());
    for (int i = 0; i < f.count; i++) CHECK(!strcmp(f.tensors[i].name, tensors[i].name), "the order is kept");
    for (int i = 0; i < f.count; i++) {                 /* from wide to narrow here, so none is at an odd address */
        const char *dtype = f.tensors[i].dtype;
        unsigned width = strstr(dtype, "64") ? 8 : strstr(dtype, "32") ? 4 : strstr(dtype, "16") ? 2 : 1;
        CHECK((uintptr_t)f.tensors[i].data % width == 0, "'%s' is aligned", f.tensors[i].name);
    }
    CHECK(st_write(path, f.tensors, f.count, f.meta, f.metas), "over the file it came from: %s", error_text());
    st_close(&f);
    check_contents(path);

    CHECK(st_write(path, NULL, 0, NULL, 0) && st_open(&f, path) && f.count == 0 && f.metas == 0, "an empty file");
    st_close(&f);

    /* all dtypes, 3 elements of each */
    static const char bytes[] = "twenty-four bytes of any";
    for (int i = 0; st_dtypes[i].name; i++) {
        StTensor t = {"t", st_dtypes[i].name, 1, {3}, bytes, 3 * st_dtypes[i].size};
        CHECK(st_write(path, &t, 1, NULL, 0) && st_open(&f, path), "%s: %s", t.dtype, error_text());
        CHECK(!strcmp(f.tensors[0].dtype, t.dtype) && !memcmp(f.tensors[0].data, bytes, t.bytes), "%s", t.dtype);
        st_close(&f);
    }
    StTensor deep = {"deep", "U8", ST_RANK_MAX, {1, 2, 1, 2, 1, 2, 1, 3}, bytes, 24};
    CHECK(st_write(path, &deep, 1, NULL, 0) && st_open(&f, path), "rank 8: %s", error_text());
    CHECK(f.tensors[0].rank == ST_RANK_MAX && !memcmp(f.tensors[0].shape, deep.shape, sizeof deep.shape), "rank 8");
    st_close(&f);
}

/* Each of the 65536 halves and bfloat16s, against the definition. */
static void test_halves(void) {
    static uint16_t bits[65536];
    static float got[65536];
    static double wide[65536];
    for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
    StTensor half = {"half", "F16", 1, {65536}, bits, sizeof bits};
    StTensor brain = {"brain", "BF16", 1, {65536}, bits, sizeof bits};
    int good = 0;
    CHECK(st_read_f32(&half, got, 65536) && st_read_f64(&half, wide, 65536), "%s", error_text());
    for (int i = 0; i < 65536; i++) {
        int e = i >> 10 & 31, f = i & 1023;
        double want = e == 0 ? ldexp(f, -24) : e < 31 ? ldexp(1024 + f, e - 25) : f ? NAN : INFINITY;
        if (i & 0x8000) want = -want;
        good += isnan(want) ? isnan(got[i]) && isnan(wide[i])
                            : got[i] == want && wide[i] == want && !signbit(got[i]) == !signbit(want);
    }
    CHECK(good == 65536, "%d of 65536 halves are right", good);
    CHECK(st_read_f32(&brain, got, 65536), "%s", error_text());
    good = 0;
    for (int i = 0; i < 65536; i++) {
        int e = i >> 7 & 255, f = i & 127;
        double want = e == 0 ? ldexp(f, -133) : e < 255 ? ldexp(128 + f, e - 134) : f ? NAN : INFINITY;
        if (i & 0x8000) want = -want;
        good += isnan(want) ? isnan(got[i]) : got[i] == want && !signbit(got[i]) == !signbit(want);
    }
    CHECK(good == 65536, "%d of 65536 bfloat16s are right", good);
}

#define T(begin, end) "{\"dtype\":\"U8\",\"shape\":[" #end "],\"data_offsets\":[" #begin "," #end "]}"

/* Headers, good and bad; most bad ones differ from a good one in one place. */
static void test_headers(void) {
    accept("{\"a\":" T(0, 4) "}", 4);
    accept("{\"a\":" T(0, 4) "}     ", 4);
    accept("{ \"a\" :\t{ \"data_offsets\" : [ 0 , 4 ] ,\r\n \"shape\":[ 2,2 ],\"dtype\": \"U8\" } }", 4);
    accept("{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},\"a\":" T(0, 2) "}", 4);
    accept("{\"a\":" T(0, 4) ",\"y\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[0,0]},"
           "\"x\":{\"dtype\":\"F64\",\"shape\":[5,0],\"data_offsets\":[4,4]}}", 4);
    accept("{}", 0);
    accept("{\"__metadata__\":{}}", 0);
    accept("{\"__metadata__\":{\"\":\"\"}}", 0);

    refuse("", 0, "expected '{'");
    refuse(" {\"a\":" T(0, 4) "}", 4, "expected '{'");
    refuse("[]", 0, "expected '{'");
    refuse("{\"a\":" T(0, 4) "} x", 4, "expected nothing but spaces");
    refuse("{\"a\":" T(0, 4) "}\n", 4, "expected nothing but spaces");
    refuse("{\"a\":" T(0, 4) "}{}", 4, "expected nothing but spaces");
    refuse("{\"a\":" T(0, 4), 4, "expected '}'");
    refuse("{\"a\":" T(0, 4) ",}", 4, "expected a text in quotes");
    refuse("{,\"a\":" T(0, 4) "}", 4, "expected a text in quotes");
    refuse("{\"a\" " T(0, 4) "}", 4, "expected ':'");
    refuse("{\"a\":" T(0, 4) " \"b\":" T(4, 4) "}", 4, "expected '}'");
    refuse("{a:" T(0, 4) "}", 4, "expected a text in quotes");
    refuse("{'a':" T(0, 4) "}", 4, "expected a text in quotes");
    refuse("{\"a\":null}", 0, "expected '{'");
    refuse("{\"a\":[[[[[[[[[[[[[[[[[[[[", 0, "expected '{'");
    refuse("{\"a", 0, "expected UTF-8 without control characters, or a closing quote");
    write_raw("{\"a\":" T(0, 4) "}\0", strlen("{\"a\":" T(0, 4) "}") + 1, 4);
    check_refused(path, "expected nothing but spaces", "a NUL at the end");
    write_raw("{\"a\0\":" T(0, 4) "}", strlen("{\"a\":" T(0, 4) "}") + 1, 4);
    check_refused(path, "expected UTF-8 without control", "a NUL in a name");

    /* names */
    refuse("{\"\":" T(0, 4) "}", 4, "a name that is not empty");
    refuse("{\"a\":" T(0, 4) ",\"a\":" T(0, 0) "}", 4, "'a' is there twice");
    refuse("{\"a\":" T(0, 4) ",\"b\":" T(0, 0) ",\"\\u0061\":" T(0, 0) "}", 4, "'a' is there twice");
    refuse("{\"__metadata__\":{},\"a\":" T(0, 4) ",\"__metadata__\":{}}", 4, "__metadata__ only once");
    refuse("{\"__metadata__\":{\"k\":\"1\",\"j\":\"2\",\"k\":\"1\"}}", 0, "'k' is there twice");
    refuse("{\"__metadata__\":{\"k\":1}}", 0, "expected a text in quotes");
    refuse("{\"__metadata__\":{\"k\":{\"k\":\"1\"}}}", 0, "expected a text in quotes");
    refuse("{\"__metadata__\":null}", 0, "expected '{'");
    refuse("{\"two\\nlines\":{}}", 0, "tensor two?lines");

    /* a tensor's keys */
    refuse("{\"a\":{}}", 4, "tensor a: expected dtype, shape and data_offsets");
    refuse("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "expected dtype, shape and data_offsets before");
    refuse("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4, "expected dtype, shape and data_offsets before");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, "expected dtype, shape and data_offsets before");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "once each");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"more\":1}}", 4, "once each");
    refuse("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "expected a dtype such as F32");
    refuse("{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "expected a dtype such as F32");
    refuse("{\"a\":{\"dtype\":\"\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "expected a dtype such as F32");
    refuse("{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "expected a text in quotes");

    /* numbers */
    const char *numbers[] = {"-4", "+4", "04", "4.0", "4e0", "0x4", "\"4\"", "null", "", "[4]", "9223372036854775808",
                             "18446744073709551620", "4 4", "4,", ",4", "\v4"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char header[200];
        const char *number = numbers[i];
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,%s],\"data_offsets\":[0,4]}}", number);
        refuse(header, 4, "expected ");
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,%s]}}", number);
        refuse(header, 4, "expected ");
    }
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":4,\"data_offsets\":[0,4]}}", 4, "expected '['");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4,\"data_offsets\":[0,4]}}", 4, "expected a whole number");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]}}", 4, "fewer numbers");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,4]}}", 4, "expected fewer numbers");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4]}}", 4, "expected two data_offsets");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[]}}", 4, "expected two data_offsets");

    /* shape, dtype and offsets against each other and against the file */
    refuse("{\"a\":" T(0, 5) "}", 4, "expected data_offsets within the file");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}", 4, "data_offsets within the file");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,9223372036854775807]}}", 4,
           "expected data_offsets within the file");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,4]}}", 4, "as dtype and shape need");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "as dtype and shape need");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,4]}}", 4, "as dtype and shape need");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
           "as dtype and shape need");                  /* the product is 2^64, which is 0 in 64 bits */
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
           "as dtype and shape need");                  /* 2^64 + 4 bytes */
    refuse("{\"a\":" T(0, 4) "}", 5, "1 bytes after the last tensor");
    refuse("{}", 1, "1 bytes after the last tensor");
    refuse("{\"a\":" T(0, 2) ",\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}", 4, "'b' leaves a hole");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[1,4]}}", 4, "'a' leaves a hole");
    refuse("{\"a\":" T(0, 3) ",\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4, "overlaps");
    refuse("{\"a\":" T(0, 4) ",\"b\":" T(0, 4) "}", 4, "overlaps");
    refuse("{\"a\":" T(0, 4) ",\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}", 4, "leaves a hole");
}

static void test_texts(void) {
    StFile f;
    char header[400];
    static const struct { const char *json, *text; } good[] = {
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u00E9\\u8863", "A\xC3\xA9\xC3\xA9\xE8\xA1\xA3"},
        {"\\ud83d\\udc57", "\xF0\x9F\x91\x97"},              {"\\uDBFF\\uDFFF", "\xF4\x8F\xBF\xBF"},
        {"\\u0001\\u007f\\u0080\\u07ff\\u0800\\uffff", "\x01\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"},
        {"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
         "\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(header, sizeof header, "{\"__metadata__\":{\"%s\":\"%s\"}}", good[i].json, good[i].json);
        write_raw(header, strlen(header), 0);
        CHECK(st_open(&f, path) && f.metas == 1, "%s: %s", header, error_text());
        CHECK(f.metas == 1 && !strcmp(f.meta[0].key, good[i].text), "%s", header);
        CHECK(f.metas == 1 && !strcmp(f.meta[0].value, good[i].text), "%s", header);
        st_close(&f);
    }
    static const char *bad[] = {
        "\\x", "\\", "\\u", "\\u12", "\\u123g", "\\U0041", "\\u0000", "\\u+041", "\\u 041",             /* escapes */
        "\\ud83d", "\\ud83dx", "\\ud83d\\n", "\\ud83d\\u0041", "\\ud83d\\ud83d", "\\udc57", "\\udc57\\ud83d",
        "\n", "\t", "\x01",                                                            /* raw control characters */
        "\x80", "\xBF", "\xC3", "\xC3(", "\xE8\xA1", "\xE8\xA1(", "\xF0\x9F\x91", "\xFF", "\xFE",     /* not UTF-8 */
        "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",   /* too long */
        "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",     /* surrogates; above U+10FFFF */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(header, sizeof header, "{\"__metadata__\":{\"k\":\"%s\"}}", bad[i]);
        refuse(header, 0, "in the header");
        snprintf(header, sizeof header, "{\"%s\":" T(0, 4) "}", bad[i]);
        refuse(header, 4, "in the header");
    }
}

static void test_misaligned(void) {
    StFile f;
    unsigned char bytes[7] = {1, 2, 3, 0, 0, 0xC0, 0x3F}, again[8];
    float value = 0;
    StTensor t[] = {{"bytes", "U8", 1, {3}, bytes, 3}, {"odd", "F32", 0, {0}, bytes + 3, 4}};
    CHECK(st_write(path, t, 2, NULL, 0) && st_open(&f, path), "%s", error_text());
    CHECK((uintptr_t)st_find(&f, "odd")->data % 4 == 3, "this tensor lies at an odd address");
    CHECK(st_read_f32(st_find(&f, "odd"), &value, 1) && value == 1.5f, "and is read all the same: %g", value);
    CHECK(st_read_f32(&t[1], (float *)(void *)again, 1), "from our own memory, too");
    st_close(&f);
}

static void test_lengths(void) {
    static const unsigned char none[8] = {0}, huge[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    static const unsigned char two[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    static const unsigned char above[8] = {0x01, 0xE1, 0xF5, 0x05};         /* 100,000,001 */
    write_bytes(path, none, 0);
    check_refused(path, "its 0 bytes", "an empty file");
    write_bytes(path, two, 7);
    check_refused(path, "its 7 bytes", "a file of 7 bytes");
    write_bytes(path, none, 8);
    check_refused(path, "expected '{'", "a header of length 0");
    write_bytes(path, huge, 8);
    check_refused(path, "length of a header", "a header of 2^64 - 1 bytes");
    write_bytes(path, two, sizeof two);
    check_refused(path, "length of a header", "a header that ends a byte after the file");
    write_bytes(path, above, sizeof above);
    CHECK(truncate(path, 200000000) == 0, "a file with a hole");
    check_refused(path, "at most 100000000", "a header above the limit");

    snprintf(path, sizeof path, "%s/missing", folder);
    check_refused(path, "No such file", "a missing file");
    check_refused(folder, "is a folder", "a folder");
    check_refused("/dev/zero", "not a regular file", "a device");
    snprintf(path, sizeof path, "%s/pipe", folder);
    alarm(10);                                          /* opening a pipe that nobody writes would wait for ever */
    if (mkfifo(path, 0600) == 0) check_refused(path, "not a regular file", "a pipe");
    alarm(0);
    unlink(path);
    snprintf(path, sizeof path, "%s/two\nlines", folder);
    StFile f;
    CHECK(!st_open(&f, path) && !strchr(error_text(), '\n') && strstr(error_text(), "two?lines"), "'%s'", error_text());
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
}

/* Many names: searching for twins must not take the square of their number. */
static void test_many(void) {
    enum { MANY = 300000 };
    char *header = malloc(MANY * 80 + 100), *to = header;
    for (int i = 0; i < MANY; i++)
        to += sprintf(to, "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[%d,%d]}",
                      i ? ',' : '{', i, i, i + 1);
    strcpy(to, "}");                                    /* the header's end; a twin comes here afterwards */
    StFile f;
    clock_t start = clock();
    write_raw(header, strlen(header), MANY);
    CHECK(st_open(&f, path) && f.count == MANY, "%s", error_text());
    CHECK(f.count == MANY && *(unsigned char *)f.tensors[MANY - 1].data == (MANY & 255), "the last of many");
    st_close(&f);
    strcpy(to, ",\"7\":" T(0, 0) "}");
    write_raw(header, strlen(header), MANY);
    check_refused(path, "'7' is there twice", "a twin among many");
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK(seconds < 20, "%d names took %.1f s", MANY, seconds);
    free(header);
}

/* A write that must fail: its line names the path and the reason, the old file is whole, nothing else is left. */
static void check_write_fails(const char *file, const StTensor *t, int count, const StMeta *m, int n,
                              const char *reason) {
    int before = files_in_folder();
    CHECK(!st_write(file, t, count, m, n), "written, but expected '%s'", reason);
    CHECK(strstr(error_text(), file) == error_text() && strstr(error_text(), reason) && !strchr(error_text(), '\n'),
          "expected a line with the path and '%s', got '%s'", reason, error_text());
    CHECK(files_in_folder() == before, "%s: a temporary file is left", reason);
}

static void test_failed_writes(void) {
    char other[400];
    CHECK(st_write(path, tensors, TENSORS, metas, METAS), "%s", error_text());
    snprintf(other, sizeof other, "%s/missing/a.safetensors", folder);
    check_write_fails(other, tensors, TENSORS, metas, METAS, "No such file or directory");
    snprintf(other, sizeof other, "%s/a", path);
    check_write_fails(other, tensors, TENSORS, metas, METAS, "Not a directory");
    check_write_fails(folder, tensors, TENSORS, metas, METAS, "a folder or device has this name");
    check_write_fails("/dev/null", tensors, TENSORS, metas, METAS, "a folder or device has this name");
    if (chmod(folder, 0500) == 0 && access(folder, W_OK) != 0)
        check_write_fails(path, tensors, 1, NULL, 0, "Permission denied");
    else printf("  a folder without write permission: not tried, this user may write everywhere\n");
    chmod(folder, 0700);

    /* A full disk: the limit on the size of a file stops the write in the middle, in the header or in the data. */
    static float large[100000];
    static char text[50001];
    memset(text, 'x', 50000);
    StTensor big = {"big", "F32", 1, {100000}, large, sizeof large};
    StMeta longer = {"text", text};
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    signal(SIGXFSZ, SIG_IGN);
    for (small.rlim_cur = 0; small.rlim_cur < 40000; small.rlim_cur += 8190) {
        setrlimit(RLIMIT_FSIZE, &small);
        int ok = st_write(path, &big, 1, NULL, 0), ok2 = st_write(path, tensors, 1, &longer, 1);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK(!ok && !ok2 && strstr(error_text(), path) == error_text() && strstr(error_text(), "File too large"),
              "at %ld bytes: '%s'", (long)small.rlim_cur, error_text());
        CHECK(files_in_folder() == 1, "a full disk leaves a temporary file");
    }
    check_contents(path);
    CHECK(st_write(path, &big, 1, &longer, 1), "and with room again: %s", error_text());
    CHECK(st_write(path, tensors, TENSORS, metas, METAS), "%s", error_text());

    /* Tensors and metadata that st_open would refuse. */
    float x[4] = {0};
    const StTensor bad[] = {
        {"", "F32", 1, {4}, x, 16},                         {"__metadata__", "F32", 1, {4}, x, 16},
        {"a", "F31", 1, {4}, x, 16},                        {"a", NULL, 1, {4}, x, 16},
        {"a", "F32", 1, {3}, x, 16},                        {"a", "F32", 2, {-2, -2}, x, 16},
        {"a", "F32", 9, {1, 1, 1, 1, 1, 1, 1, 4}, x, 16},   {"a", "F32", -1, {4}, x, 16},
        {"\xFF", "F32", 1, {4}, x, 16},                     {"a\xC3", "F32", 1, {4}, x, 16},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_write_fails(path, &bad[i], 1, NULL, 0, "expected ");
    StTensor twins[] = {tensors[0], tensors[1], tensors[0]};
    StMeta same[] = {metas[0], metas[0]}, broken = {"key", "\xC3"};
    check_write_fails(path, twins, 3, NULL, 0, "'f64' is there twice");
    check_write_fails(path, tensors, 1, same, 2, "'step' is there twice");
    check_write_fails(path, tensors, 1, &broken, 1, "UTF-8");
    check_contents(path);

    /* A path without folder is a file here; a link is replaced. */
    char here[4096];
    CHECK(getcwd(here, sizeof here) && chdir(folder) == 0, "into the folder");
    CHECK(st_write("b.safetensors", tensors, 1, NULL, 0), "%s", error_text());
    CHECK(symlink("b.safetensors", "link") == 0 && st_write("link", tensors, TENSORS, metas, METAS), "%s", error_text());
    check_contents("link");
    unlink("link");
    unlink("b.safetensors");
    CHECK(chdir(here) == 0, "back");
    CHECK(files_in_folder() == 1, "only the file itself");
}

static void test_python(void) {
    char file[400], command[1200];
    snprintf(file, sizeof file, "%s/data/python.safetensors", data_folder());
    check_contents(file);
    if (system("python3 -c 'import safetensors, numpy' 2>/dev/null")) {
        printf("  Python has no safetensors and numpy here: skipped its look at our file\n");
        return;
    }
    CHECK(st_write(path, tensors, TENSORS, metas, METAS), "%s", error_text());
    snprintf(command, sizeof command, "python3 '%s/safetensors_check.py' read '%s' >/dev/null", data_folder(), path);
    CHECK(system(command) == 0, "Python reads our file: %s", command);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        int ok = st_write(argv[1], tensors, TENSORS, metas, METAS);
        puts(ok ? argv[1] : error_text());
        return !ok;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);                   /* what failed is on the screen even if the program dies next */
    snprintf(folder, sizeof folder, "%.150s/safetensors-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder)) { perror(folder); return 1; }
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    CHECK(!strcmp(error_text(), ""), "no error yet");
    test_round_trip();
    test_halves();
    test_headers();
    test_texts();
    test_misaligned();
    test_lengths();
    test_many();
    test_failed_writes();
    test_python();
    unlink(path);
    CHECK(rmdir(folder) == 0, "the folder is empty at the end");
    return test_report("safetensors");
}
