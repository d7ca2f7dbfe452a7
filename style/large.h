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
 * together the work of four passes; then one pass that paints. */
#ifndef LARGE_H
#define LARGE_H
#include "core/net.h"
#include <stdlib.h>
#include <string.h>

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
static inline int large_pieces(const Large *l) {
    return large_across(l) * large_count(l->h, l->piece_h, l->overlap);
}

static LargeSpan large_scale(LargeSpan s, int up, int down) {
    return (LargeSpan){ s.start * up / down, s.from * up / down, s.to * up / down };
}

/* Each piece through the nodes up to i. What is kept of the output: out (h,w,c) gets it, or where
 * out is NULL, sums (2,c) get the sums of its numbers and of their squares: in the node's pixels */
static int large_walk(Large *l, int i, float *out, double *sums) {
    const Node *node = &l->net->node[i];
    int pieces = large_pieces(l), across = large_across(l), c = node->c, good = 1;
    long count = (long)node->h * node->w * c, width = (long)l->w * node->h / l->piece_h;
    real *host = malloc(count * sizeof *host);
    for (int piece = 0; host && good && piece < pieces; piece++) {
        LargeSpan y = large_span(piece / across, l->h, l->piece_h, l->overlap);
        LargeSpan x = large_span(piece % across, l->w, l->piece_w, l->overlap);
        if (!(good = l->fill(l->context, y.start, x.start))) break;
        net_forward_part(l->net, 0, i + 1);
        l->net->ops->download(host, node->y, count);
        y = large_scale(y, node->h, l->piece_h), x = large_scale(x, node->h, l->piece_h);
        for (int v = y.from; v < y.to; v++)
            for (int u = x.from; u < x.to; u++) {
                const real *from = host + ((long)(v - y.start) * node->w + u - x.start) * c;
                for (int k = 0; k < c; k++)
                    if (out) out[(v * width + u) * c + k] = from[k];
                    else sums[k] += from[k], sums[c + k] += (double)from[k] * from[k];
            }
        l->done++;
        if (l->progress) l->progress(l->done < l->total ? l->done / l->total : 1);
    }
    free(host);
    return host && good;
}

/* Node i, as large as the picture. 0: out of memory, or fill failed */
static inline int large_paint(Large *l, int i, float *out) { return large_walk(l, i, out, NULL); }

/* moments: c means, then c variances of node i's output, over the whole picture */
static inline int large_moments(Large *l, int i, double *moments) {
    const Node *node = &l->net->node[i];
    double *mean = moments, *var = moments + node->c;
    double count = (l->h * node->h / l->piece_h) * (l->w * node->h / l->piece_h);
    memset(moments, 0, 2 * node->c * sizeof *moments);
    if (!large_walk(l, i, NULL, moments)) return 0;
    for (int k = 0; k < node->c; k++) {
        mean[k] /= count;
        var[k] = var[k] / count - mean[k] * mean[k];
        if (var[k] < 0) var[k] = 0;     /* rounding, where all are alike; not a number stays one */
    }
    return 1;
}

/* They become node i's: it and those before it use them. 0: out of memory */
static inline int large_give(Large *l, int i, const double *moments) {
    Net *net = l->net;
    long n = 2L * net->node[i].c;
    real *host = malloc(n * sizeof *host);
    for (long k = 0; host && k < n; k++) host[k] = moments[k];
    if (host) net->ops->upload(net->save + net->node[i].saved, host, n);
    free(host);
    net->given = i + 1;
    return host != NULL;
}

/* is it an instance norm? */
static int large_norm(const Node *node) { return node->saved >= 0 && node->running < 0; }
/* Both for every instance norm */
static inline int large_settle(Large *l) {
    int good = 1, norms = 0;
    for (int i = 0; i < l->net->nodes; i++) norms += large_norm(&l->net->node[i]);
    l->net->given = 0, l->done = 0, l->total = (norms + 1.) * large_pieces(l);
    for (int i = 0; good && i < l->net->nodes; i++) {
        const Node *node = &l->net->node[i];
        if (!large_norm(node)) continue;
        double *moments = malloc(2 * node->c * sizeof *moments);
        good = moments && large_moments(l, node->a, moments) && large_give(l, i, moments);
        free(moments);
    }
    return good;
}
#endif
