/* large.h: a network paints a picture that is larger than memory: in pieces, and what comes out is
 * what one pass would have made.
 *
 *   Large l = { .net = &g, .h = 4000, .w = 3000, .overlap = 24, .fill = fill, .context = me };
 *   large_settle(&l);                              statistics of the whole, for every instance norm
 *   large_paint(&l, picture, pixels);              pixels: (4000,3000,channels)
 *
 * A pixel depends on its neighbourhood, net_receptive_field wide, and on the mean and variance of
 * each normalisation, which span the picture. So the pieces overlap by that reach on each side,
 * only the middle of each is kept, and all use the statistics of the whole:
 *   mean = 1/N sum x     var = 1/N sum x^2 - mean^2     (in double; each pixel counts once)
 * What a layer is given depends on the layers before it. So there is a walk over all pieces for
 * each normalisation, up to its input, with those before it settled: for the style generator's nine
 * together the work of four passes; then one pass that paints.
 * One .c file says #define LARGE_IMPLEMENTATION. */
#ifndef LARGE_H
#define LARGE_H
#include "core/net.h"

typedef struct Large {
    Net *net;                           /* described for a piece, finished for inference, n = 1 */
    int h, w;                           /* the whole picture */
    int piece_h, piece_w;               /* at most h, w; with overlap: multiples of the network's */
    int overlap;                        /* net_receptive_field or more; piece > 2 overlap or all */
    int (*fill)(void *context, int y, int x);      /* puts into all inputs what they hold of the */
    void *context;                                 /* piece at (y,x); 0: failed */
    void (*progress)(double fraction);  /* or NULL */
    double done, total;                 /* pieces so far, and in all: for progress */
} Large;

int large_pieces(const Large *l);
/* moments: c means, then c variances of node i's output, over the whole picture. large_give uploads
 * them as node i's: it and those before it use them; large_settle does both for every instance
 * norm. 0: out of memory, or fill failed */
int large_moments(Large *l, int i, double *moments);
int large_give(Large *l, int i, const double *moments);
int large_settle(Large *l);
int large_paint(Large *l, int i, float *out);           /* node i, as large as the picture */
#endif

#if defined(LARGE_IMPLEMENTATION) && !defined(LARGE_IMPLEMENTED)
#define LARGE_IMPLEMENTED
#include <stdlib.h>
#include <string.h>

/* Along one side: the piece covers start.., [from, to) is kept, from is the `to` before it */
typedef struct LargeSpan { int start, from, to; } LargeSpan;
static int large_count(int whole, int piece, int overlap) {
    int step = piece - 2 * overlap;
    return whole <= piece ? 1 : (whole - piece + step - 1) / step + 1;
}
static LargeSpan large_span(int i, int whole, int piece, int overlap) {
    int step = piece - 2 * overlap, last = whole - piece;
    if (i * step >= last) return (LargeSpan){ last, i ? i * step + overlap : 0, whole };
    return (LargeSpan){ i * step, i ? i * step + overlap : 0, (i + 1) * step + overlap };
}
static int large_across(const Large *l) { return large_count(l->w, l->piece_w, l->overlap); }
int large_pieces(const Large *l) {
    return large_across(l) * large_count(l->h, l->piece_h, l->overlap);
}

/* Each piece through the nodes up to `node`; take(what, ..) is given its output: host (h,w,c), of
 * which rows y.from - y.start .. and columns x.from - x.start .. count, in the node's pixels */
typedef void LargeTake(void *what, const real *host, const Node *node, LargeSpan y, LargeSpan x);
static LargeSpan large_scale(LargeSpan s, int up, int down) {
    return (LargeSpan){ s.start * up / down, s.from * up / down, s.to * up / down };
}
static int large_walk(Large *l, int node, LargeTake *take, void *what) {
    const Node *from = &l->net->node[node];
    long count = (long)from->h * from->w * from->c;
    int pieces = large_pieces(l), across = large_across(l);
    real *host = malloc((size_t)count * sizeof *host);
    int good = host != NULL;
    for (int i = 0; good && i < pieces; i++) {
        LargeSpan y = large_span(i / across, l->h, l->piece_h, l->overlap);
        LargeSpan x = large_span(i % across, l->w, l->piece_w, l->overlap);
        if (!(good = l->fill(l->context, y.start, x.start))) break;
        net_forward_part(l->net, 0, node + 1);
        l->net->ops->download(host, from->y, count);
        y = large_scale(y, from->h, l->piece_h), x = large_scale(x, from->h, l->piece_h);
        take(what, host, from, y, x);
        l->done++;
        if (l->progress) l->progress(l->done < l->total ? l->done / l->total : 1);
    }
    free(host);
    return good;
}

typedef struct LargeSums { double *sum, *square, count; } LargeSums;
static void large_add(void *what, const real *host, const Node *node, LargeSpan y, LargeSpan x) {
    LargeSums *s = what;
    for (int i = y.from; i < y.to; i++)
        for (int j = x.from; j < x.to; j++) {
            const real *at = host + ((long)(i - y.start) * node->w + j - x.start) * node->c;
            for (int k = 0; k < node->c; k++)
                s->sum[k] += at[k], s->square[k] += (double)at[k] * at[k];
        }
    s->count += (double)(y.to - y.from) * (x.to - x.from);
}
int large_moments(Large *l, int i, double *moments) {
    int c = l->net->node[i].c;
    double *mean = moments, *var = moments + c;
    LargeSums s = { mean, var, 0 };
    memset(moments, 0, 2 * (size_t)c * sizeof *moments);
    if (!large_walk(l, i, large_add, &s)) return 0;
    for (int k = 0; k < c; k++) {
        mean[k] /= s.count;
        var[k] = var[k] / s.count - mean[k] * mean[k];
        if (var[k] < 0) var[k] = 0;     /* rounding, where all are alike; not a number stays one */
    }
    return 1;
}

int large_give(Large *l, int i, const double *moments) {
    Net *net = l->net;
    long n = 2L * net->node[i].c;
    real *host = malloc((size_t)n * sizeof *host);
    for (long k = 0; host && k < n; k++) host[k] = (real)moments[k];
    if (host) net->ops->upload(net->save + net->node[i].saved, host, n);
    free(host);
    net->given = i + 1;
    return host != NULL;
}

/* is it an instance norm? */
static int large_norm(const Node *node) { return node->saved >= 0 && node->running < 0; }
int large_settle(Large *l) {
    int good = 1, norms = 0;
    for (int i = 0; i < l->net->nodes; i++) norms += large_norm(&l->net->node[i]);
    l->net->given = 0, l->done = 0, l->total = (norms + 1.) * large_pieces(l);
    for (int i = 0; good && i < l->net->nodes; i++) {
        const Node *node = &l->net->node[i];
        if (!large_norm(node)) continue;
        double *moments = malloc(2 * (size_t)node->c * sizeof *moments);
        good = moments && large_moments(l, node->a, moments) && large_give(l, i, moments);
        free(moments);
    }
    return good;
}

typedef struct LargePage { float *pixels; int w; } LargePage;
static void large_place(void *what, const real *host, const Node *node, LargeSpan y, LargeSpan x) {
    LargePage *page = what;
    for (int i = y.from; i < y.to; i++)
        for (long j = (long)x.from * node->c; j < (long)x.to * node->c; j++)
            page->pixels[(long)i * page->w * node->c + j] =
                (float)host[((long)(i - y.start) * node->w - x.start) * node->c + j];
}
int large_paint(Large *l, int i, float *out) {
    LargePage page = { out, l->w };
    return large_walk(l, i, large_place, &page);
}
#endif
