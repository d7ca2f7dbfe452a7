/* fuzz.c: libFuzzer's mutations, steered by coverage, for everything that reads what a stranger wrote. The formats, their first files and
 * what a loader may do with a damaged one are test_damaged.c's; this adds the command line. `make fuzz` builds and runs it.
 *
 *   FUZZ=png FOLDER=folder build/fuzz/fuzz folder     FUZZ: a format's file without its "a.", or options; FOLDER: for the first files
 *   FUZZ=png FOLDER=folder build/fuzz/fuzz FILE       one file again, such as the crash-... of a finding
 *
 * Files worth keeping, a finding above all, go to tests/corpus/FORMAT: test_corpus.c reads them in every `make test`, without libFuzzer. */
#include <setjmp.h>
#include <stdlib.h>
static jmp_buf refused;
#define main damaged_main
#include "test_damaged.c"
#define OPTIONS_IMPLEMENTATION
#include "core/options.h"
static void refuse(int status) { longjmp(refused, 1 + status); }      /* what die does: a refused option is no crash */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
static const struct Format *format;                     /* NULL: the command line */
static File input;

/* words, one a line: options_parse, and what train.c reads out of them with a grammar of its own */
static const char *load_options(int *loaded) {
    static OptionList list;
    static int whole;
    static double real;
    static int flag;
    static const char *text, *many;
    static int word;
    static Option table[] = { INT_OPTION("--whole", &whole, "3", 1, 1e9, 0, ""), REAL_OPTION("--real", &real, "0", 0, 1e6, 0, ""),
        FLAG_OPTION("--flag", &flag, 0, ""), TEXT_OPTION("--text", &text, "", 0, ""), TEXTS_OPTION("--list", &list, 0, ""),
        TEXT_OPTION("--many", &many, NULL, 0, ""), WORD_OPTION("--word", &word, "one two", "one", 0, ""),
        FLAG_OPTION("--help", &flag, 0, ""), END_OF_OPTIONS };
    char *argv[64], number[64];
    int argc = 1;
    Augment a;
    unsigned char pixel[4] = {0};
    int label[4] = {0, 1, 2, 9};
    input.bytes[input.n < ROOM ? input.n : ROOM - 1] = 0;
    for (char *word = strtok((char *)input.bytes, "\n"); word && argc < 63; word = strtok(NULL, "\n")) argv[argc++] = word;
    argv[0] = "fuzz", argv[argc] = NULL, list.count = 0, text = many = "";
    if (setjmp(refused)) return *loaded = 0, NULL;
    error_program("fuzz", 0, refuse);
    options_parse(table, argc, argv);
    for (Option *o = table; o->name; o++) sum += (double)strlen(option_text(o, number));
    if (!(whole >= 1 && whole <= 1000000000 && real >= 0 && real <= 1e6)) return "a number outside its range";
    augment_parse(&a, text);
    ImageSet set = { .count = 4, .stored_h = 1, .stored_w = 1, .stored_c = 1, .pixels = pixel, .label = label, .classes = 10 };
    *loaded = imageset_keep(&set, many);
    return *loaded && (set.count < 1 || set.count > 4) ? "pictures out of nowhere" : NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *name = getenv("FUZZ") ? getenv("FUZZ") : "", *first = "--whole=7\n--real\n1e-3\n--list\na\n--text\nflip,rotation=10,zoom\n--many\n0,3,9\n--flag";
    (void)argc, (void)argv;
    snprintf(folder, sizeof folder, "%s", getenv("FOLDER") ? getenv("FOLDER") : ".");
    for (format = formats; format < formats + FORMATS && strcmp(format->file + 2, name); format++) {}
    if (format == formats + FORMATS && strcmp(name, "options")) { fprintf(stderr, "FUZZ=%s: expected safetensors, png...\n", name); exit(2); }
    if (format == formats + FORMATS) format = NULL;
    snprintf(path, sizeof path, "%s/../a-images-idx3-ubyte", folder);
    seed_idx(&input, 0), store(path, &input);               /* the pictures beside the labels */
    for (int k = 0; k < (format ? SEEDS : 1); k++) {
        snprintf(path, sizeof path, "%s/first-%d", folder, k), counter = 5 + (uint64_t)k;
        if (format) format->seed(&input, k);
        else memcpy(input.bytes, first, input.n = strlen(first));
        if (format && !strcmp(name, "png")) mend_png(&input);
        store(path, &input);
    }
    snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "/..");
    snprintf(path, sizeof path, "%s/%s", folder, format ? format->file : "a.options");
    return 0;
}

/* what is wrong with how these bytes are read, or NULL */
static const char *fuzz_one(const uint8_t *data, size_t size, int *loaded) {
    memcpy(input.bytes, data, input.n = size);
    if (format) store(path, &input);
    largest = 0;
    const char *bad = format ? format->load(loaded) : load_options(loaded);
    return !bad && format && asks_too_much(format, &input) ? "asks for too much memory" : bad;
}

#ifndef WITHOUT_LIBFUZZER
/* Checksums are mended after most mutations: else they would refuse everything, and the code behind them would see no damaged byte. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, most);
    if (size > ROOM || seed % 16 == 0 || !format) return size;
    memcpy(input.bytes, data, input.n = size);
    if (!strcmp(format->file, "a.png")) mend_png(&input);
    size_t start = strstr(format->file, ".gz") ? im_gzip_header(input.bytes, size) : 0;
    int plain_size = 0;
    char *plain = start ? stbi_zlib_decode_noheader_malloc((char *)input.bytes + start, (int)(size - start), &plain_size) : NULL;
    if (plain) put(input.bytes + size - 8, crc32_of((unsigned char *)plain, (size_t)plain_size), 4, 0), put(input.bytes + size - 4, (uint64_t)plain_size, 4, 0);
    free(plain);
    memcpy(data, input.bytes, size);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int loaded;
    const char *bad = size < ROOM ? fuzz_one(data, size, &loaded) : NULL;
    if (bad) fprintf(stderr, "%s\n", bad), abort();
    return 0;
}
#endif
