// Runs CUDA kernels on the host: every thread of a block is a coroutine, and __syncthreads() hands
// over to the next one. Between two barriers threads run one after the other, in an order that the
// caller chooses: what depends on the order lacks a barrier. A block whose threads do not all meet
// at the same barriers is an error.
#pragma once
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__  // always extern: dynamic
#define __syncthreads() host::barrier()

using std::fabs;
using std::fmax;
using std::fmin;

struct Dim {
    unsigned x, y, z;
};
static Dim blockIdx, blockDim, threadIdx, gridDim;

// A block's dynamic shared memory; what it did not ask for nobody may write.
extern "C" {
static __align__(16) unsigned char shared[1 << 18];
}

namespace host {

enum class State { running, waiting, done };

struct Thread {
    ucontext_t context;
    std::vector<char> stack;
    Dim index;
    State state;
};

static std::vector<Thread> threads;
static ucontext_t scheduler;
static size_t current;
static void (*body)(void**);
static void** body_arguments;

static void enter() {
    body(body_arguments);
    threads[current].state = State::done;
    swapcontext(&threads[current].context, &scheduler);
}

static void barrier() {
    threads[current].state = State::waiting;
    swapcontext(&threads[current].context, &scheduler);
}

template <class... A, size_t... I>
static void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}

template <class... A>
static void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

// 0 if all blocks ran; 1 if threads of one did not meet; 2 if shared memory was overrun.
static int launch(void (*kernel)(void**), void** arguments, const unsigned* grid,
                  const unsigned* block, size_t shared_bytes, int order) {
    body = kernel;
    body_arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    const size_t count = size_t(block[0]) * block[1] * block[2];
    uint32_t random = 1;
    std::vector<size_t> turn(count);
    threads.resize(count);
    for (unsigned z = 0; z < grid[2]; ++z)
    for (unsigned y = 0; y < grid[1]; ++y)
    for (unsigned x = 0; x < grid[0]; ++x) {
        blockIdx = {x, y, z};
        // Shared memory begins as anything: NaN spreads to whatever reads it too early.
        memset(shared, 0xff, sizeof shared);
        for (size_t n = 0; n < count; ++n) {
            turn[n] = order == 1 ? count - 1 - n : n;
            Thread& thread = threads[n];
            thread.stack.resize(1 << 15);
            thread.state = State::running;
            thread.index = {unsigned(n % block[0]), unsigned(n / block[0] % block[1]),
                            unsigned(n / block[0] / block[1])};
            getcontext(&thread.context);
            thread.context.uc_stack.ss_sp = thread.stack.data();
            thread.context.uc_stack.ss_size = thread.stack.size();
            thread.context.uc_link = nullptr;
            makecontext(&thread.context, enter, 0);
        }
        for (size_t finished = 0; finished < count;) {
            for (size_t n = count - 1; order > 1 && n > 0; --n) {
                random = random * 1664525u + 1013904223u;
                std::swap(turn[n], turn[(random >> 8) % (n + 1)]);
            }
            finished = 0;
            for (const size_t n : turn) {
                current = n;
                threadIdx = threads[n].index;
                swapcontext(&scheduler, &threads[n].context);
                finished += threads[n].state == State::done;
            }
            if (finished > 0 && finished < count) return 1;
        }
        for (size_t n = shared_bytes; n < sizeof shared; ++n)
            if (shared[n] != 0xff) return 2;
    }
    return 0;
}

}  // namespace host

#define EXPORT(name)                                                                          \
    static void call_##name(void** arguments) { host::call(name, arguments); }                \
    extern "C" int host_##name(void** arguments, const unsigned* grid, const unsigned* block, \
                               size_t shared_bytes, int order) {                              \
        return host::launch(call_##name, arguments, grid, block, shared_bytes, order);        \
    }
