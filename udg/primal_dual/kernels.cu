// `udg.primal_dual.method.step`, several times over, in one round trip through global memory.
//
// A block holds one tile of the image: every thread ROWS rows of one column, in registers. What a
// thread needs of its neighbours goes through shared memory: the duals of the pixel to the left and
// above, then (X̄, R̄) of the one to the right and below. Every iteration makes one ring of the tile's
// pixels wrong, for their neighbours are in other blocks; so after `iterations` of them all but a
// halo of that width is right, and only that is written, to a second set of arrays.
//
// Compiled once for each choice of
//   REAL       float or double
//   COLUMNS    threads of a block across, one a column
//   STRIPS     threads of a block down
//   ROWS       rows a thread holds
//   RAIN       1: 0 ≤ R ≤ U;  0: R of any sign
//   UPPER_BOUND    1: U is an array of its own;  0: U is Y
//   SPARSITY_MAP      1: D, a factor on lam_r, is an array;  0: it is 1 everywhere
// Arrays are (batch, height, width) in C order; blockIdx.z is the image. Plain C++11 but for CUDA's
// own names, so that the tests can compile it for the host.

#define THREADS (COLUMNS * STRIPS)

struct alignas(2 * sizeof(REAL)) Pair {
    REAL a, b;
};

// One image's weights and steps, in the order of `udg.primal_dual._cupy._constants`.
struct Constants {
    REAL tau, lam_x, lam_y, lam_r, primal, p, q, s, relaxation;
};

static __device__ __forceinline__ REAL clamp(REAL value, REAL bound) {
    return fmin(fmax(value, -bound), bound);
}

static __device__ __forceinline__ int wrapped(int index, int size) {
    const int rest = index % size;
    return rest < 0 ? rest + size : rest;
}

extern "C" __global__ void __launch_bounds__(THREADS) advance(
    const REAL* __restrict__ Y, const REAL* __restrict__ U, const REAL* __restrict__ D,
    const Constants* __restrict__ constants,
    const REAL* __restrict__ R_in, const REAL* __restrict__ pa_in, const REAL* __restrict__ pc_in,
    const REAL* __restrict__ q_in, const REAL* __restrict__ s_in,
    REAL* __restrict__ R_out, REAL* __restrict__ pa_out, REAL* __restrict__ pc_out,
    REAL* __restrict__ q_out, REAL* __restrict__ s_out,
    int height, int width, int periodic, int iterations)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const int x = threadIdx.x, strip = threadIdx.y, top = strip * ROWS;
    Pair* const to_right = reinterpret_cast<Pair*>(shared);   // p_across, s of every pixel
    Pair* const to_left = to_right + THREADS * ROWS;  // X̄, R̄ − Y of every pixel
    Pair* const downward = to_left + THREADS * ROWS;  // p_along, q of strips' last rows
    Pair* const upward = downward + THREADS;          // X̄, R̄ of strips' first rows

    const size_t image = (size_t)blockIdx.z * height * width;
    const Constants c = constants[blockIdx.z];
    const int column = (int)blockIdx.x * (COLUMNS - 2 * iterations) - iterations + x;
    const int row = (int)blockIdx.y * (STRIPS * ROWS - 2 * iterations) - iterations + top;

    // Differences over a reflecting seam are none: their duals are held at zero. The row above the
    // first and the column before it are seams as well; what lies beyond is cut off by them.
    const bool seam_column = !periodic && (column == -1 || column == width - 1);
    const REAL tau_across = seam_column ? REAL(0) : c.tau;
    const REAL lam_y = seam_column ? REAL(0) : c.lam_y;
    unsigned seam_rows = 0;
    REAL y[ROWS], r[ROWS], pa[ROWS], pc[ROWS], q[ROWS], s[ROWS];
#if UPPER_BOUND
    REAL u[ROWS];
#endif
#if SPARSITY_MAP
    REAL sparsity_map[ROWS];
#endif

#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const int i = periodic ? wrapped(row + k, height) : row + k;
        const int j = periodic ? wrapped(column, width) : column;
        const bool inside = i >= 0 && i < height && j >= 0 && j < width;
        const size_t at = inside ? image + (size_t)i * width + j : image;
        const bool seam_row = !periodic && (row + k == -1 || row + k == height - 1);
        seam_rows |= (unsigned)seam_row << k;
        y[k] = inside ? Y[at] : REAL(0);
        r[k] = inside ? R_in[at] : REAL(0);
        pa[k] = inside && !seam_row ? pa_in[at] : REAL(0);
        q[k] = inside && !seam_row ? q_in[at] : REAL(0);
        pc[k] = inside && !seam_column ? pc_in[at] : REAL(0);
        s[k] = inside && !seam_column ? s_in[at] : REAL(0);
#if UPPER_BOUND
        u[k] = inside ? U[at] : REAL(0);
#endif
#if SPARSITY_MAP
        sparsity_map[k] = inside ? D[at] : REAL(0);
#endif
        to_right[(top + k) * COLUMNS + x] = Pair{pc[k], s[k]};
    }
    downward[strip * COLUMNS + x] = Pair{pa[ROWS - 1], q[ROWS - 1]};

    // At the tile's edge a thread is its own neighbour: that is in the halo, and wrong anyway.
    const int left = x > 0 ? x - 1 : x, right = x < COLUMNS - 1 ? x + 1 : x;
    const int above = strip > 0 ? strip - 1 : strip, below = strip < STRIPS - 1 ? strip + 1 : strip;

    for (int iteration = 0; iteration < iterations; ++iteration) {
        __syncthreads();
        Pair over = downward[above * COLUMNS + x];
        REAL R_bar[ROWS], X_bar[ROWS];
#pragma unroll
        for (int k = 0; k < ROWS; ++k) {
            const Pair before = to_right[(top + k) * COLUMNS + left];
            const REAL divergence = over.a - pa[k] + before.a - pc[k];
            const REAL slope = over.b - q[k] + before.b - s[k] - divergence;
            over = Pair{pa[k], q[k]};
#if SPARSITY_MAP
            const REAL sparsity = c.lam_r * sparsity_map[k];
#else
            const REAL sparsity = c.lam_r;
#endif
#if RAIN
#if UPPER_BOUND
            const REAL upper = u[k];
#else
            const REAL upper = y[k];
#endif
            const REAL moved = r[k] - c.primal * (slope + sparsity);
            const REAL R_new = fmin(fmax(moved, REAL(0)), upper);
#else
            const REAL moved = r[k] - c.primal * slope;
            const REAL R_new = moved - clamp(moved, c.primal * sparsity);
#endif
            R_bar[k] = R_new + R_new - r[k];
            X_bar[k] = y[k] - R_bar[k] - divergence;
            r[k] += c.relaxation * (R_new - r[k]);
            to_left[(top + k) * COLUMNS + x] = Pair{X_bar[k], R_bar[k] - y[k]};
        }
        upward[strip * COLUMNS + x] = Pair{X_bar[0], R_bar[0]};
        __syncthreads();
        const Pair under = upward[below * COLUMNS + x];
#pragma unroll
        for (int k = 0; k < ROWS; ++k) {
            const Pair after = to_left[(top + k) * COLUMNS + right];
            const REAL X_below = k + 1 < ROWS ? X_bar[k + 1 < ROWS ? k + 1 : k] : under.a;
            const REAL R_below = k + 1 < ROWS ? R_bar[k + 1 < ROWS ? k + 1 : k] : under.b;
            const REAL W_bar = R_bar[k] - y[k];
            const REAL pa_new = clamp(pa[k] + c.p * (X_below - X_bar[k]), c.tau);
            const REAL pc_new = clamp(pc[k] + c.p * (after.a - X_bar[k]), tau_across);
            const REAL q_new = clamp(q[k] + c.q * (R_below - R_bar[k]), c.lam_x);
            const REAL s_new = clamp(s[k] + c.s * (after.b - W_bar), lam_y);
            pa[k] += c.relaxation * (pa_new - pa[k]);
            pc[k] += c.relaxation * (pc_new - pc[k]);
            q[k] += c.relaxation * (q_new - q[k]);
            s[k] += c.relaxation * (s_new - s[k]);
            to_right[(top + k) * COLUMNS + x] = Pair{pc[k], s[k]};
        }
        if (seam_rows) {  // of few blocks only: cheaper than a choice in every row
#pragma unroll
            for (int k = 0; k < ROWS; ++k) {
                if (seam_rows >> k & 1) pa[k] = q[k] = 0;
            }
        }
        downward[strip * COLUMNS + x] = Pair{pa[ROWS - 1], q[ROWS - 1]};
    }

    if (x < iterations || x >= COLUMNS - iterations || column >= width) return;
#pragma unroll
    for (int k = 0; k < ROWS; ++k) {
        const bool mine = top + k >= iterations && top + k < STRIPS * ROWS - iterations;
        if (mine && row + k < height) {
            const size_t at = image + (size_t)(row + k) * width + column;
            R_out[at] = r[k];
            pa_out[at] = pa[k];
            pc_out[at] = pc[k];
            q_out[at] = q[k];
            s_out[at] = s[k];
        }
    }
}

// Background Y − R − ∇ᵀp and R, made feasible first; one pixel a thread.
extern "C" __global__ void estimate(
    const REAL* __restrict__ Y, const REAL* __restrict__ U, const REAL* __restrict__ R,
    const REAL* __restrict__ pa, const REAL* __restrict__ pc,
    REAL* __restrict__ X, REAL* __restrict__ feasible, int height, int width, int periodic)
{
    const int j = blockIdx.x * blockDim.x + threadIdx.x;
    const int i = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= height || j >= width) return;
    const size_t image = (size_t)blockIdx.z * height * width;
    const size_t row = image + (size_t)i * width, at = row + j;
    const size_t row_above = i > 0 ? row - width : image + (size_t)(height - 1) * width;
    const size_t before = j > 0 ? at - 1 : row + width - 1;
    REAL divergence = 0;
    if (periodic || i > 0) divergence += pa[row_above + j];
    if (periodic || i < height - 1) divergence -= pa[at];
    if (periodic || j > 0) divergence += pc[before];
    if (periodic || j < width - 1) divergence -= pc[at];
#if RAIN
    const REAL upper = UPPER_BOUND ? U[at] : Y[at];
    const REAL rain = fmin(fmax(R[at], REAL(0)), upper);
#else
    const REAL rain = R[at];
#endif
    feasible[at] = rain;
    X[at] = Y[at] - rain - divergence;
}
