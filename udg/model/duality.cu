// Energy and dual bound of `udg.model.duality` in one pass, summed in double.
//
// Compiled once for each choice of
//   REAL       type of the images and of X and R
//   DUAL       type of the duals
//   RAIN       1: duals are clipped here;  0: they have been repaired, and are shrunk afterwards
//   UPPER_BOUND    1: U, the largest R, is an array of its own;  0: U is Y
//   SPARSITY_MAP      1: D, a factor on lam_r, is an array;  0: it is 1 everywhere
//   THREADS    threads a block has, a power of 2
// Arrays are (batch, height, width) in C order; blockIdx.z is the image.

// What is summed up, a pixel, a thread, a block or an image at a time.
struct Terms {
    double energy;     // E(X, R)
    double linear;     // ⟨Y, ∇ᵀp − ∇yᵀs⟩
    double quadratic;  // ½‖∇ᵀp‖²
    double rest;       // RAIN: Σ U·min(0, lam_r D + c).  Else: the largest factor that all bounds allow
};

// One image's weights, in the order of `udg.model._duality_cupy._weights`.
struct Bounds {
    double tau, lam_x, lam_y, lam_r;
};

static __device__ __forceinline__ void add(Terms& sum, const Terms& other) {
    sum.energy += other.energy;
    sum.linear += other.linear;
    sum.quadratic += other.quadratic;
    sum.rest = RAIN ? sum.rest + other.rest : fmin(sum.rest, other.rest);
}

static __device__ __forceinline__ Terms nothing() {
    return Terms{0.0, 0.0, 0.0, RAIN ? 0.0 : 1.0};
}

static __device__ __forceinline__ double dual(const DUAL* v, size_t at, double bound) {
    const double value = v[at];
    return RAIN ? fmin(fmax(value, -bound), bound) : value;
}

// The largest factor ≤ 1 that brings a value into its bound.
static __device__ __forceinline__ double factor(double value, double bound) {
    const double size = fabs(value);
    return size > bound ? bound / size : 1.0;
}

// Sum the terms of a block's threads in shared memory; the answer is thread 0's.
static __device__ Terms over_block(Terms mine) {
    extern __shared__ __align__(16) unsigned char shared[];
    Terms* const terms = reinterpret_cast<Terms*>(shared);
    const int thread = threadIdx.x;
    terms[thread] = mine;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half) add(terms[thread], terms[thread + half]);
        __syncthreads();
    }
    return terms[0];
}

// Each block takes every gridDim.x-th row of an image and leaves one sum.
extern "C" __global__ void __launch_bounds__(THREADS) certificate(
    const REAL* __restrict__ Y, const REAL* __restrict__ U, const REAL* __restrict__ D,
    const Bounds* __restrict__ weights,
    const REAL* __restrict__ X, const REAL* __restrict__ R,
    const DUAL* __restrict__ pa, const DUAL* __restrict__ pc,
    const DUAL* __restrict__ q, const DUAL* __restrict__ s,
    Terms* __restrict__ partial, int height, int width, int periodic)
{
    const Bounds w = weights[blockIdx.z];
    const size_t image = (size_t)blockIdx.z * height * width;
    Terms sum = nothing();
    for (int i = blockIdx.x; i < height; i += gridDim.x) {
        const size_t row = image + (size_t)i * width;
        const size_t row_above = i > 0 ? row - width : image + (size_t)(height - 1) * width;
        const size_t row_below = i < height - 1 ? row + width : image;
        const bool has_above = periodic || i > 0, has_below = periodic || i < height - 1;
        for (int j = threadIdx.x; j < width; j += THREADS) {
            const size_t at = row + j;
            const size_t before = j > 0 ? at - 1 : row + width - 1;
            const size_t after = j < width - 1 ? at + 1 : row;
            const size_t above = row_above + j, below = row_below + j;
            const bool has_before = periodic || j > 0, has_after = periodic || j < width - 1;
            const double y = Y[at], x = X[at], r = R[at];
            const double sparsity = SPARSITY_MAP ? w.lam_r * D[at] : w.lam_r;

            double tv = 0, along_r = 0, across_w = 0;
            if (has_below) {
                tv += fabs(X[below] - x);
                along_r = fabs(R[below] - r);
            }
            if (has_after) {
                tv += fabs(X[after] - x);
                across_w = fabs((R[after] - (double)Y[after]) - (r - y));
            }
            const double misfit = x + r - y;

            double divergence = 0, q_part = 0, s_part = 0, most = 1;
            if (has_above) {
                divergence += dual(pa, above, w.tau);
                q_part += dual(q, above, w.lam_x);
            }
            if (has_below) {
                const double p = dual(pa, at, w.tau), v = dual(q, at, w.lam_x);
                divergence -= p;
                q_part -= v;
                most = fmin(factor(p, w.tau), factor(v, w.lam_x));
            }
            if (has_before) {
                divergence += dual(pc, before, w.tau);
                s_part += dual(s, before, w.lam_y);
            }
            if (has_after) {
                const double p = dual(pc, at, w.tau), v = dual(s, at, w.lam_y);
                divergence -= p;
                s_part -= v;
                most = fmin(most, fmin(factor(p, w.tau), factor(v, w.lam_y)));
            }
            const double slope = q_part + s_part - divergence;
#if RAIN
            const double upper = UPPER_BOUND ? (double)U[at] : y;
            const double rest = upper * fmin(0.0, sparsity + slope);
#else
            // Without sparsity the repair has made the slope zero but for rounding.
            const double rest = w.lam_r > 0 ? fmin(most, factor(slope, sparsity)) : most;
#endif
            add(sum, Terms{0.5 * misfit * misfit + w.tau * tv + w.lam_x * along_r
                               + w.lam_y * across_w + sparsity * fabs(r),
                           y * (divergence - s_part), 0.5 * divergence * divergence, rest});
        }
    }
    sum = over_block(sum);
    if (threadIdx.x == 0) partial[(size_t)blockIdx.z * gridDim.x + blockIdx.x] = sum;
}

// One block an image: the sum of what `certificate`'s blocks have left.
extern "C" __global__ void __launch_bounds__(THREADS) finish(
    const Terms* __restrict__ partial, Terms* __restrict__ total, int count)
{
    Terms sum = nothing();
    for (int n = threadIdx.x; n < count; n += THREADS) {
        add(sum, partial[(size_t)blockIdx.x * count + n]);
    }
    sum = over_block(sum);
    if (threadIdx.x == 0) total[blockIdx.x] = sum;
}
