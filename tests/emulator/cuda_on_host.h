// Runs CUDA kernels on the host, exactly, thread by thread.
//
// Why: a machine without a GPU can then test the very text that the GPU build compiles, and can show what
// a GPU hides: a missing barrier, stale shared memory, a barrier that not every thread reaches.
//
// How: `-include` this header before the .cu files, all of them in one C++ file. Each thread of a block is
// a fiber with its own stack, and runs until its next barrier or warp intrinsic. Blocks run one after
// another. Blocks, warps and the threads of a warp run forward, reversed or shuffled, and a warp runs on to
// its next __syncthreads while the others stand still: a kernel with all its barriers gives the same result
// in every order, one that lacks a barrier differs in some. Shared memory holds NaN bytes when a block
// starts. A launch that can never end returns an error that says who waits where.
//
// Limits: Linux; one launch at a time; threads that wait for each other without a barrier (spin locks) hang;
// an asynchronous copy is one at once. __shared__ belongs into kernels and static functions: in a template it
// keeps its zeros or the values of the last block, in a plain `inline` function it does not compile. Two builds
// in one process need -fno-gnu-unique (GCC), without which they share the static variables of templates.

#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define MCVAR_SHARED(name) unsigned char *const name = emulator::shared
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define __shared__ static  // in a section of its own it would get no red zones
#else
#define __shared__ static __attribute__((section("emulated_shared")))
extern "C" __attribute__((weak, visibility("hidden"))) unsigned char __start_emulated_shared[];
extern "C" __attribute__((weak, visibility("hidden"))) unsigned char __stop_emulated_shared[];
#endif

// Aligned as on the device: the sanitizer finds a vector load from a misaligned address.
#define EMULATED_VECTORS(type, prefix)                                          \
    struct alignas(2 * sizeof(type)) prefix##2 { type x, y; };                  \
    struct alignas(16) prefix##4 { type x, y, z, w; };                          \
    static inline prefix##2 make_##prefix##2(type x, type y) { return {x, y}; } \
    static inline prefix##4 make_##prefix##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(unsigned, uint)
EMULATED_VECTORS(long long, longlong)
EMULATED_VECTORS(unsigned long long, ulonglong)
EMULATED_VECTORS(float, float)
EMULATED_VECTORS(double, double)
struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

namespace emulator {

enum Order { FORWARD, REVERSED, SHUFFLED };

struct Place {  // where in the source
    const char *file;
    int line;
};
static inline Place here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

struct Stack {
    void *resume[5];  // registers
    bool fresh;       // not entered yet
    unsigned char *bottom;
    const void *known_bottom;  // the last three as the sanitizer knows them
    size_t known_bytes;
    void *fake;
};
struct Fiber {
    uint3 index;
    const char *barrier;  // what it waits at, where that is, with which lanes of its warp
    Place place;
    unsigned mask;
    unsigned met;           // the lanes that took part in its last warp intrinsic
    uint64_t given, taken;  // the value it brought there, and the copy that the others read
    Stack stack;
};
struct Warp {
    unsigned live, ready, at_block;  // lanes that have not returned; that can run; that wait for the whole block
};

static const int max_threads = 1024;
static const size_t stack_bytes = 256 << 10, guard_bytes = 4096, max_shared_bytes = 227 << 10;
static Fiber fibers[max_threads], *current;
static Warp warps[max_threads / 32], *current_warp;
static Stack scheduler;
static ucontext_t contexts[max_threads], scheduler_context;
static unsigned char *shared;
static const std::function<void()> *body;
static std::string error;
static int order;
static uint64_t random_state;

static inline uint64_t random_below(uint64_t bound) {  // splitmix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % bound;
}

template <class T>
static void arrange(T *first, uint64_t count) {
    std::iota(first, first + count, T(0));
    if (order == REVERSED) std::reverse(first, first + count);
    for (uint64_t i = count; order == SHUFFLED && i > 1; --i) std::swap(first[i - 1], first[random_below(i)]);
}

// From one stack to another. swapcontext asks the operating system each time (to set the signal mask). GCC's
// own setjmp does not and, unlike the library's, may leave the stack; so swapcontext is for other compilers
// and for the address sanitizer, which follows no other switch and must be told of each.
#if defined(__clang__) || defined(__SANITIZE_ADDRESS__)
__attribute__((noinline)) static void change(Stack &from, ucontext_t &here, Stack &to, ucontext_t &there) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake, to.known_bottom, to.known_bytes);
#endif
    swapcontext(&here, &there);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake, &to.known_bottom, &to.known_bytes);
#endif
}
#else
// noipa: the compiler must not conclude that registers survive, nor that the jump never leads back here.
[[noreturn]] __attribute__((noipa)) static void jump(void **resume) { __builtin_longjmp(resume, 1); }
__attribute__((noipa)) static void change(Stack &from, ucontext_t &, Stack &to, ucontext_t &there) {
    if (__builtin_setjmp(from.resume)) return;
    if (!to.fresh) jump(to.resume);
    to.fresh = false;
    setcontext(&there);
}
#endif
static inline void leave() { change(current->stack, contexts[current - fibers], scheduler, scheduler_context); }

static void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.known_bottom, &scheduler.known_bytes);
#endif
    for (;;) {  // once a block: a fiber is made once and used again
        (*body)();
        current_warp->live &= ~(1u << ((current - fibers) & 31));
        leave();
    }
}

static void make(int thread) {
    Stack &stack = fibers[thread].stack;
    ucontext_t &context = contexts[thread];
    if (!stack.bottom) {
        void *memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, guard_bytes, PROT_NONE)) std::abort();
        stack.bottom = static_cast<unsigned char *>(memory);
    }
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(stack.bottom, stack_bytes);  // what a stopped launch left there
#endif
    stack.fresh = true;
    stack.known_bottom = stack.bottom;
    stack.known_bytes = stack_bytes;
    getcontext(&context);
    context.uc_stack.ss_sp = stack.bottom;
    // Stacks that begin at different offsets in their pages do not compete for the same lines of the cache.
    context.uc_stack.ss_size = stack_bytes - thread * 320 % 4096;
    makecontext(&context, fiber_main, 0);
    context.uc_stack = {};  // from this the sanitizer would clear the red zones of the stack at each switch
}

static void enter(int thread) {
    if (!fibers[thread].stack.bottom) make(thread);
    current = &fibers[thread];
    threadIdx = current->index;
    change(scheduler, scheduler_context, current->stack, contexts[thread]);
}

static void fail(const std::string &what) {
    error = "block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
            std::to_string(blockIdx.z) + "): " + what;
}

// The current fiber waits until the scheduler lets it go on.
static const char *const syncthreads = "__syncthreads";
static void wait(const char *barrier, unsigned mask, Place place) {
    const unsigned self = 1u << ((current - fibers) & 31);
    current->barrier = barrier;
    current->mask = mask;
    current->place = place;
    current_warp->ready &= ~self;
    if (barrier == syncthreads)
        current_warp->at_block |= self;
    else if (!(mask & self))
        fail(std::string(barrier) + ": the mask lacks the calling lane");
    leave();
}

static bool together(const Fiber &a, const Fiber &b) {
    return a.mask == b.mask && a.place.line == b.place.line && !std::strcmp(a.barrier, b.barrier) &&
           !std::strcmp(a.place.file, b.place.file);
}

// Lets those lanes go on whose whole mask has arrived at one intrinsic. Lanes that have returned do not count.
static void release(Warp &warp, Fiber *lanes) {
    unsigned waiting = warp.live & ~warp.ready & ~warp.at_block;
    for (int lane = 0; lane < 32; ++lane) {
        const unsigned group = lanes[lane].mask & warp.live;
        bool complete = waiting >> lane & 1 && !(group & ~waiting);
        for (unsigned rest = group; complete && rest; rest &= rest - 1)
            complete = together(lanes[lane], lanes[__builtin_ctz(rest)]);
        if (!complete) continue;
        for (unsigned rest = group; rest; rest &= rest - 1) {
            Fiber &fiber = lanes[__builtin_ctz(rest)];
            fiber.taken = fiber.given;
            fiber.met = group;
        }
        warp.ready |= group;
        waiting &= ~group;
    }
}

// Lets the block go on from one __syncthreads, or says who waits where. False when there is nobody to go on.
static bool release_block(int threads) {
    std::map<std::string, std::pair<int, int>> groups;  // where: the first of them, and how many
    const Fiber *first = nullptr;
    bool complete = true;
    for (int t = 0; t < threads; ++t) {
        if (!(warps[t / 32].live >> t % 32 & 1)) continue;
        if (!first) first = &fibers[t];
        complete = complete && fibers[t].barrier == syncthreads && together(*first, fibers[t]);
    }
    for (int t = 0; !complete && t < threads; ++t) {
        if (!(warps[t / 32].live >> t % 32 & 1)) continue;
        char where[512];
        std::snprintf(where, sizeof where, "%s (mask 0x%08x, %s:%d)", fibers[t].barrier, fibers[t].mask,
                      fibers[t].place.file, fibers[t].place.line);
        groups.emplace(where, std::make_pair(t, 0)).first->second.second++;
    }
    std::string text;
    for (const auto &group : groups)
        text += (text.empty() ? "" : "; ") + std::to_string(group.second.second) + " threads, the first " +
                std::to_string(group.second.first) + ", wait at " + group.first;
    if (!complete) fail(text);
    for (Warp *warp = warps; warp != warps + (threads + 31) / 32; ++warp) {
        warp->ready = warp->live;
        warp->at_block = 0;
    }
    return first && complete;
}

static void run_block(int threads) {
    const int count = (threads + 31) / 32;
    for (int w = 0; w < count; ++w) warps[w] = {~0u, ~0u, 0};
    if (threads % 32) warps[count - 1].live = warps[count - 1].ready = (1u << threads % 32) - 1;
    do {  // from one __syncthreads to the next
        int open[max_threads / 32], lanes[32];
        arrange(open, count);
        std::reverse(open, open + count);  // taken from the end
        for (int left = count; left;) {
            int &pick = open[order == SHUFFLED ? random_below(left) : left - 1];
            Warp &warp = warps[pick];
            current_warp = &warp;
            arrange(lanes, 32);
            for (int lane : lanes) {
                if (warp.ready >> lane & 1) enter(32 * pick + lane);
                if (!error.empty()) return;
            }
            warp.ready &= warp.live;
            release(warp, fibers + 32 * pick);
            if (!warp.ready) pick = open[--left];
        }
    } while (release_block(threads));
}

// Launches `kernel`, which is called once a thread. Returns 0, or 1 with the reason in emulator_error().
static int run(const std::function<void()> &kernel, dim3 grid, dim3 block, int64_t shared_bytes, int run_order,
               uint64_t seed) {
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    error.clear();
    if (!threads || threads > max_threads || block.z > 64 || !grid.x || grid.x > 0x7fffffff || !grid.y ||
        grid.y > 65535 || !grid.z || grid.z > 65535 || uint64_t(shared_bytes) > max_shared_bytes ||
        run_order < FORWARD || run_order > SHUFFLED) {
        error = "invalid launch configuration";
        return 1;
    }
    body = &kernel;
    order = run_order;
    random_state = seed;
    gridDim = grid;
    blockDim = block;
    for (unsigned t = 0; t < threads; ++t)
        fibers[t].index = {t % block.x, t / block.x % block.y, t / block.x / block.y};
    shared = static_cast<unsigned char *>(std::malloc(shared_bytes));  // exact, for the sanitizer; aligned to 16
    std::vector<uint64_t> blocks(uint64_t(grid.x) * grid.y * grid.z);
    arrange(blocks.data(), blocks.size());
    for (uint64_t b : blocks) {
        blockIdx = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
        if (shared_bytes) std::memset(shared, 0xff, shared_bytes);
#if !defined(__SANITIZE_ADDRESS__)
        std::fill(__start_emulated_shared, __stop_emulated_shared, 0xff);
#endif
        run_block(int(threads));
        if (!error.empty()) break;
    }
    for (int t = 0; !error.empty() && t < max_threads; ++t)
        if (fibers[t].stack.bottom) make(t);  // it may stand in the middle of the kernel
    std::free(shared);
    return error.empty() ? 0 : 1;
}

static inline unsigned lane_id() { return (current - fibers) & 31; }

// The value that lane `from` brought; NaN bytes where the device leaves the result undefined: the lane has
// returned, or is not in the mask.
template <class T>
static T exchange(const char *name, unsigned mask, T value, unsigned from, Place place) {
    static_assert(std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8), "no shuffle of this type");
    std::memcpy(&current->given, &value, sizeof value);
    wait(name, mask, place);
    std::memset(&value, 0xff, sizeof value);
    if (current->met >> from & 1) std::memcpy(&value, &(current - lane_id() + from)->taken, sizeof value);
    return value;
}

static inline unsigned ballot(const char *name, unsigned mask, int predicate, Place place) {
    current->given = predicate != 0;
    wait(name, mask, place);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (current->met >> lane & 1) votes |= unsigned((current - lane_id() + lane)->taken) << lane;
    return votes;
}

}  // namespace emulator

#define EMULATED_PLACE emulator::Place place = emulator::here()
static inline void __syncthreads(EMULATED_PLACE) { emulator::wait(emulator::syncthreads, ~0u, place); }
static inline void __syncwarp(unsigned mask = ~0u, EMULATED_PLACE) { emulator::wait("__syncwarp", mask, place); }
template <class T>
static T __shfl_sync(unsigned mask, T value, int from, int width = 32, EMULATED_PLACE) {
    const unsigned lane = emulator::lane_id(), last = width - 1;
    return emulator::exchange("__shfl_sync", mask, value, (lane & ~last) + (from & last), place);
}
template <class T>
static T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATED_PLACE) {
    const unsigned lane = emulator::lane_id(), last = width - 1, from = lane ^ bits;
    return emulator::exchange("__shfl_xor_sync", mask, value, from > (lane | last) ? lane : from, place);
}
template <class T>
static T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATED_PLACE) {
    const unsigned lane = emulator::lane_id(), last = width - 1;
    return emulator::exchange("__shfl_up_sync", mask, value, delta > (lane & last) ? lane : lane - delta, place);
}
template <class T>
static T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATED_PLACE) {
    const unsigned lane = emulator::lane_id(), last = width - 1;
    const unsigned from = delta > last - (lane & last) ? lane : lane + delta;
    return emulator::exchange("__shfl_down_sync", mask, value, from, place);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_PLACE) {
    return emulator::ballot("__ballot_sync", mask, predicate, place);
}
static inline int __any_sync(unsigned mask, int predicate, EMULATED_PLACE) {
    return emulator::ballot("__any_sync", mask, predicate, place) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, EMULATED_PLACE) {
    return emulator::ballot("__all_sync", mask, predicate, place) == emulator::current->met;
}

static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
static inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
static inline int __ffs(int bits) { return __builtin_ffs(bits); }
static inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
static inline int __clz(int bits) { return bits ? __builtin_clz(bits) : 32; }
static inline int __clzll(long long bits) { return bits ? __builtin_clzll(bits) : 64; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
template <class T>
static T __ldg(const T *from) { return *from; }

// Only for the types that the device has: uint64_t, here another type than unsigned long long, is not one.
// Between two barriers a fiber runs alone, so that a plain update is atomic.
#define EMULATED_ATOMIC(name, type, result)            \
    static inline type name(type *where, type value) { \
        const type old = *where;                       \
        *where = result;                               \
        return old;                                    \
    }
#define EMULATED_EXTREMES(type)                            \
    EMULATED_ATOMIC(atomicMin, type, std::min(old, value)) \
    EMULATED_ATOMIC(atomicMax, type, std::max(old, value))
EMULATED_EXTREMES(int)
EMULATED_EXTREMES(unsigned)
EMULATED_EXTREMES(long long)
EMULATED_EXTREMES(unsigned long long)
EMULATED_ATOMIC(atomicAdd, int, int(unsigned(old) + unsigned(value)))
EMULATED_ATOMIC(atomicAdd, unsigned, old + value)
EMULATED_ATOMIC(atomicAdd, unsigned long long, old + value)
EMULATED_ATOMIC(atomicAdd, float, old + value)
EMULATED_ATOMIC(atomicAdd, double, old + value)

extern "C" const char *emulator_error() { return emulator::error.c_str(); }

// A launcher for the kernel mcvar_NAME, to be written after the kernels.
#define EMULATED(name)                                                                                              \
    extern "C" int emulate_##name(const mcvar::Plan *plan, const mcvar::Work *work, int64_t start, int64_t stop,    \
                                  int grid_x, int grid_y, int threads, int64_t shared_bytes, int order,             \
                                  uint64_t seed) {                                                                  \
        return emulator::run([&] { mcvar_##name(*plan, *work, start, stop); }, dim3(grid_x, grid_y), dim3(threads), \
                             shared_bytes, order, seed);                                                            \
    }
