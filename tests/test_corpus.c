/* test_corpus.c: the files that `make fuzz` found worth keeping, tests/corpus/FORMAT, each read once more, by any compiler. What is checked
 * is fuzz.c's: refused in one line or sane, no more memory than the format may ask for, and under the sanitizers no wrong step. */
#include <dirent.h>
#define WITHOUT_LIBFUZZER
#include "fuzz.c"
#undef main

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "damaged")) return damaged_main(count - 1, arguments + 1);
    char corpus[700], file[1000], own[200], begins[250];
    const char *tests = getenv("TESTS") ? getenv("TESTS") : "tests", *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(own, sizeof own, "%.150s/corpus-XXXXXX", base);
    if (!mkdtemp(own)) { perror(own); return 1; }
    signal(SIGALRM, died);
    if (!SANITIZED) signal(SIGSEGV, died), signal(SIGBUS, died), signal(SIGFPE, died), signal(SIGABRT, died);
    snprintf(begins, sizeof begins, "%s/first", own);
    if (mkdir(begins, 0777)) { perror(begins); return 1; }
    for (int i = 0; i <= FORMATS; i++) {
        const char *name = i < FORMATS ? formats[i].file + 2 : "options";
        int files = 0, accepted = 0;
        snprintf(corpus, sizeof corpus, "%.300s/corpus/%s", tests, name);
        setenv("FUZZ", name, 1), setenv("FOLDER", begins, 1);
        LLVMFuzzerInitialize(NULL, NULL);
        DIR *all = opendir(corpus);
        for (struct dirent *e; all && (e = readdir(all)); ) {
            static File input;
            int loaded = 0;
            if (e->d_name[0] == '.') continue;
            snprintf(file, sizeof file, "%.690s/%.255s", corpus, e->d_name);
            snprintf(where, sizeof where, "%.490s\n", file);
            fetch(file, &input);
            alarm(SANITIZED ? 120 : 20);
            const char *bad = input.n < ROOM ? fuzz_one(input.bytes, input.n, &loaded) : "is too large for this test";
            CHECK(!bad, "%s: %s", file, bad);
            files++, accepted += loaded;
        }
        alarm(0);
        if (all) closedir(all);
        printf("  %-20s %4d files: %4d refused, %4d readable\n", name, files, files - accepted, accepted);
        CHECK(accepted > 0 && accepted < files, "%s: %d of %d files are readable, expected some and not all", corpus, accepted, files);
    }
    largest = (size_t)1 << 40, input.n = 0;
    CHECK(asks_too_much(formats, &input), "a terabyte is too much");           /* the checker checked */
    snprintf(file, sizeof file, "rm -rf '%s'", own);
    CHECK(system(file) == 0, "%s is removed", own);
    return test_report("corpus");
}
