/* rewrite.cpp: preprocessed CUDA on stdin, C++ for include/cuda_runtime.h on stdout, line for line.
 * Working behind the preprocessor it meets no comments, no macros, and sees included files too; strings are passed over. */
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
using std::string;

static string in, out;
static size_t at, statement;                              /* in `in`: where we read; in `out`: where the statement began */
static string bounds;                                     /* what __launch_bounds__ said, for the kernel to come */
static int serial;

static bool word(char c) { return isalnum((unsigned char)c) || c == '_'; }
static void die(const char *what) {
    size_t line = 1;
    for (size_t i = 0; i < out.size(); i++) line += out[i] == '\n';
    fprintf(stderr, "cuda_on_cpu/rewrite: %s, near line %zu of the preprocessed file\n", what, line);
    exit(1);
}

/* the end of the string, character constant or raw string that begins at i */
static size_t quoted(size_t i) {
    if (in[i] == '"' && i && in[i - 1] == 'R' && (i < 2 || !word(in[i - 2]) || strchr("uUL8", in[i - 2]))) {
        size_t open = in.find('(', i);
        size_t end = in.find(")" + in.substr(i + 1, open - i - 1) + "\"", open);
        return end == string::npos ? in.size() : end + (open - i) + 1;
    }
    char q = in[i++];
    while (i < in.size() && in[i] != q && in[i] != '\n') i += in[i] == '\\' ? 2 : 1;
    return i + 1;
}
static bool quote(size_t i) {                             /* not the one in 1'000'000 */
    return in[i] == '"' || (in[i] == '\'' && !(i && isalnum((unsigned char)in[i - 1]) && isdigit((unsigned char)in[i - 1])
                                               && isalnum((unsigned char)in[i + 1])));
}
/* the first of `stops` outside brackets and strings, from i on */
static size_t scan(size_t i, const char *stops) {
    int depth = 0;
    while (i < in.size()) {
        if (quote(i)) { i = quoted(i); continue; }
        if (depth == 0 && (strncmp(&in[i], stops, strlen(stops)) == 0 || (strlen(stops) < 3 && strchr(stops, in[i])))) return i;
        if (strchr("([{", in[i])) depth++;
        if (strchr(")]}", in[i])) depth--;
        i++;
    }
    die("unbalanced brackets");
    return i;
}
static size_t after_spaces(size_t i) { while (i < in.size() && isspace((unsigned char)in[i])) i++; return i; }
static string newlines(const string &s) {
    string r;
    for (char c : s) if (c == '\n') r += c;
    return r;
}

/* where in `out` the expression that ends there begins: names with ::, . and ->, template arguments, brackets */
static size_t expression(void) {
    size_t i = out.size();
    for (;;) {
        while (i && isspace((unsigned char)out[i - 1])) i--;
        while (i && strchr(">])", out[i - 1])) {
            int angle = out[i - 1] == '>', round = 0, depth = 0;
            do {
                char c = out[--i];
                if (c == ')' || c == ']') round++;
                else if (c == '(' || c == '[') round--;
                else if (angle && !round && c == '>') depth++;
                else if (angle && !round && c == '<') depth--;
            } while (i && (round || depth));
            while (i && isspace((unsigned char)out[i - 1])) i--;
        }
        while (i && word(out[i - 1])) i--;
        if (i >= 2 && (out.compare(i - 2, 2, "::") == 0 || out.compare(i - 2, 2, "->") == 0)) i -= 2;
        else if (i && out[i - 1] == '.') i--;
        else return i;
    }
}

static void launch(void) {                                /* at "<<<" */
    size_t from = expression(), close = scan(at + 3, ">>>"), open = after_spaces(close + 3);
    if (in[open] != '(') die("a launch without arguments");
    string kernel = out.substr(from), config = in.substr(at + 3, close - at - 3), name;
    for (char c : kernel)
        if (c == '"' || c == '\\') name += '\\', name += c;
        else if (c != '\n') name += c;
    while (!name.empty() && name.back() == ' ') name.pop_back();
    out.erase(from);
    out += "cuda_on_cpu::Launch(" + config + ").kernel(\"" + name + "\", [&](auto... cuda_on_cpu_a)"
           " CUDA_ON_CPU_UNCHECKED { " + kernel + "(cuda_on_cpu_a...); })" + newlines(in.substr(close, open - close));
    size_t p;                                             /* macros are no more: say what this one stands for */
    while ((p = out.find("CUDA_ON_CPU_UNCHECKED", from)) != string::npos)
        out.replace(p, 21, "__attribute__((no_sanitize(\"thread\"), no_sanitize(\"undefined\")))");
    size_t end = scan(open + 1, ")");
    for (at = open; (p = in.find("__null", at)) < end; at = p + 6)               /* NULL passed on is a pointer no more */
        out += in.substr(at, p - at) + "nullptr";
}

static void shared(void) {                                /* behind "__shared__" */
    string prefix = out.substr(statement), text, type, lines;
    out.erase(statement);
    bool dynamic = prefix.find("extern") != string::npos;
    size_t end = scan(at, ";");
    text = in.substr(at, end - at);
    at = end + 1;
    lines = newlines(text);
    out += newlines(prefix);
    for (const char *w : { "static", "extern", "volatile" })
        for (size_t p; (p = prefix.find(w)) != string::npos;) prefix.erase(p, strlen(w));
    for (char &c : prefix) if (c == '\n') c = ' ';
    for (char &c : text) if (c == '\n') c = ' ';
    /* the declarators: parted by commas outside all brackets; the type is what stands before the first one's name */
    size_t begin = 0;
    for (size_t i = 0, angle = 0, round = 0; i <= text.size(); i++) {
        char c = i < text.size() ? text[i] : ',';
        if (strchr("([{", c)) round++;
        else if (strchr(")]}", c)) round--;
        else if (!round && c == '<') angle++;
        else if (!round && c == '>') angle--;
        if (c != ',' || round || angle) continue;
        string one = text.substr(begin, i - begin);
        size_t name_end = 0;
        for (int depth = 0; name_end < one.size() && (depth || one[name_end] != '['); name_end++)
            depth += (strchr("(<{", one[name_end]) != NULL) - (strchr(")>}", one[name_end]) != NULL);
        while (name_end && isspace((unsigned char)one[name_end - 1])) name_end--;
        size_t name = name_end;
        while (name && word(one[name - 1])) name--;
        if (type.empty()) type = one.substr(0, name);
        string id = one.substr(name, name_end - name), n = std::to_string(serial++);
        if (id.empty() || one.find('=') != string::npos) die("a __shared__ declaration that is not understood");
        if (dynamic) {
            for (const char *a : { "__attribute__", "alignas" })                 /* the alignment of a pointer is no use */
                for (size_t p; (p = type.find(a)) != string::npos;) {
                    size_t q = type.find('('), depth = 0;
                    do depth += (type[q] == '(') - (type[q] == ')'); while (++q < type.size() && depth);
                    type.erase(p, q - p);
                }
            out += "[[gnu::unused]] " + type + "*const " + id + " = cuda_on_cpu::dynamic<" + type + ">();";
        } else
            out += "struct cuda_on_cpu_v" + n + " { " + prefix + type + one.substr(name) + "; }; static cuda_on_cpu::Slot cuda_on_cpu_s"
                   + n + " = { \"" + id + "\", 0, 0 }; [[gnu::unused]] auto &" + id + " = cuda_on_cpu::shared<cuda_on_cpu_v" + n
                   + ">(&cuda_on_cpu_s" + n + ")->" + id + ";";
        begin = i + 1;
    }
    out += lines;
    statement = out.size();
}

/* is this __device__ or __constant__ before a variable? Then it gets a section of its own, unless it is const */
static string variable(const char *section) {
    for (size_t i = at; i < in.size(); i++) {
        if (quote(i)) { i = quoted(i) - 1; continue; }
        if (word(in[i]) && !word(in[i - 1])) {
            size_t e = i;
            while (word(in[e])) e++;
            string w = in.substr(i, e - i);
            if (w == "operator" || w == "const" || w == "constexpr" || w == "class" || w == "struct") return "";
            if (w == "__attribute__" || w == "alignas" || w == "__launch_bounds__" || w == "decltype")
                e = scan(after_spaces(e) + 1, ")") + 1;
            i = e - 1;
            continue;
        }
        if (in[i] == '(' || in[i] == ')' || in[i] == ',' || in[i] == '>') return "";
        if (in[i] == '<') {
            int depth = 0;
            do depth += (in[i] == '<') - (in[i] == '>'); while (depth && ++i < in.size());
        } else if (strchr(";=[{", in[i])) break;
    }
    string before = out.substr(statement);
    if (before.find("const") != string::npos || before.find("extern") != string::npos) return "";
    return "__attribute__((section(\"" + string(section) + "\")))";
}

int main(void) {
    char part[1 << 16];
    for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0;) in.append(part, n);
    in += '\n';
    bool kernel = false;                                  /* between __global__ and the { of its body */
    int round = 0;
    while (at < in.size()) {
        char c = in[at];
        if (c == '#' && (at == 0 || in[at - 1] == '\n')) {                       /* a line marker or a pragma */
            size_t end = in.find('\n', at);
            string line = in.substr(at, end - at);
            if (line.compare(0, 7, "#pragma") || line.find("unroll") == string::npos || line.find("GCC") != string::npos) out += line;
            at = end;
            if (out.find_first_not_of(" \n", statement) >= out.size() - line.size()) statement = out.size();
        } else if (quote(at)) {
            size_t end = quoted(at);
            out += in.substr(at, end - at);
            at = end;
        } else if (word(c)) {
            size_t end = at;
            while (word(in[end])) end++;
            string w = in.substr(at, end - at);
            if (w.compare(0, 2, "__")) out += w, at = end;
            else if (at = end, w == "__global__")       /* flatten: all is inlined, as nvcc does; gcc calls no hook for */
                out += "__attribute__((flatten))", kernel = true, round = 0;                /* structures as arguments */
            else if (w == "__shared__") shared();
            else if (w == "__device__") out += variable("cuda_device");
            else if (w == "__constant__") out += variable("cuda_constant");
            else if (w == "__launch_bounds__") {
                size_t open = after_spaces(at), close = scan(open + 1, ")");
                bounds = ", " + in.substr(open + 1, close - open - 1);
                at = close + 1;
            } else if (w == "__noinline__") {             /* in libstdc++ a word inside __attribute__, in CUDA all of it */
                size_t last = out.find_last_not_of(" ");
                out += strchr("(,", out[last]) ? w : "__attribute__((noinline))";
            } else if (w != "__host__") out += w;
        } else if (in.compare(at, 3, "<<<") == 0 && !(out.size() >= 8 && out.compare(out.size() - 8, 8, "operator") == 0)) {
            launch();
        } else {
            out += c;
            at++;
            if (kernel && c == '(') round++;
            if (kernel && c == ')') round--;
            if (kernel && !round && c == ';') kernel = false, bounds.clear();
            if (kernel && !round && c == '{') {
                out += " cuda_on_cpu_kernel(__PRETTY_FUNCTION__" + bounds + ");";
                kernel = false, bounds.clear();
            }
            if (c == ';' || c == '{' || c == '}') statement = out.size();
        }
    }
    fwrite(out.data(), 1, out.size(), stdout);
    return fflush(stdout) || ferror(stdout);
}
