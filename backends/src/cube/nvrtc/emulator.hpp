// A GPU played by the host, so that the arithmetic and every index of this project's CUDA
// kernels are tested on machines without one. It says nothing about speed.
//
// Defines of a variant, its kernel's text and a last line `EMULATE(KERNEL)` become a library:
//   g++ -std=c++20 -O1 -ffp-contract=off -DEMULATED -include emulator.hpp -shared -fPIC ...
// Its `eaglet_emulate` takes what cuLaunchKernel does and returns when all is done, and its
// `eaglet_words` says how large arguments are. Blocks
// of threads run one by one, or cluster by cluster. Threads are fibers that run until they meet others: those of
// their block at a barrier, those of their warp at a shuffle or an mma. Where not all come,
// or to different things, the program says so and ends. With -fsanitize=address it also
// ends at accesses beyond a buffer, as memory is the host's. It takes x86-64 and g++ 12.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __shared__ static // There is one block of threads at a time, where there are no clusters.

struct float2 { float x, y; };
struct Index { unsigned x, y, z; };
inline Index threadIdx, blockIdx, blockDim;
using std::max, std::min;

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }

namespace emulator {

constexpr unsigned WARP = 32, STACK = 256 << 10;

/// Where threads wait for each other, and how often they have met.
struct Meeting { const char* what; unsigned arrived; unsigned long held; };

struct Thread {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Index index;
    bool done;
    Meeting* meeting; // where it waits, and `held` when it came
    unsigned long held;
    uint32_t a[4], b[2], value, from, taken; // what a lane brings to its warp, and takes away
    float c[4];
};

inline std::function<void()> kernel;
inline std::vector<Thread> threads;
inline unsigned current;
inline ucontext_t scheduler;
inline std::vector<Meeting> warps;
inline std::vector<Meeting> barriers; // one for each of the blocks that run together
inline Meeting all_blocks;

/// Threads of a block, and which of the blocks that run together a thread is of.
inline unsigned block_size() { return threads.size() / barriers.size(); }
inline unsigned block_of(unsigned thread) { return thread / block_size(); }

template <class... Values>
[[noreturn]] void fail(const char* format, Values... values) {
    std::fprintf(stderr, "emulator: thread %u of block (%u, %u) ", current, blockIdx.x, blockIdx.y);
    std::fprintf(stderr, format, values...), std::fputc('\n', stderr);
    std::abort();
}

/// Waits until all of some threads are at `what`; the last to come does `work` for them.
template <class Work>
void meet(Meeting& meeting, unsigned all, const char* what, Work work) {
    if (meeting.arrived++ == 0) meeting.what = what;
    if (meeting.what != what) fail("is at %s, others at %s", what, meeting.what);
    if (meeting.arrived == all) {
        work(), meeting.arrived = 0, meeting.held++;
    } else {
        threads[current].meeting = &meeting, threads[current].held = meeting.held;
        swapcontext(&threads[current].context, &scheduler);
    }
}

/// The lanes of a warp meet; `work` has the first of them.
template <class Work>
void meet_warp(const char* what, Work work) {
    meet(warps[current / WARP], WARP, what, [=] { work(&threads[current / WARP * WARP]); });
}

/// The value that lane `from` of the warp brings.
inline uint32_t shuffle(uint32_t value, unsigned from) {
    threads[current].value = value, threads[current].from = from;
    meet_warp("a shuffle", [](Thread* lanes) {
        for (unsigned i = 0; i < WARP; i++) lanes[i].taken = lanes[lanes[i].from].value;
    });
    return threads[current].taken;
}

/// Plays blocks of threads, from the first and the last in turns: a missing barrier shows.
inline void play(Index block) {
    warps.assign(threads.size() / WARP, {}), all_blocks = {};
    barriers.assign(barriers.size(), {});
    for (unsigned n = 0; n < threads.size(); n++) {
        Thread& thread = threads[n];
        const unsigned i = n % block_size();
        if (!thread.stack) thread.stack = std::make_unique_for_overwrite<char[]>(STACK);
        thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        thread.meeting = nullptr, thread.done = false;
        getcontext(&thread.context);
        thread.context.uc_stack = {.ss_sp = thread.stack.get(), .ss_flags = 0, .ss_size = STACK};
        thread.context.uc_link = &scheduler;
        makecontext(&thread.context, [] { kernel(), threads[current].done = true; }, 0);
    }
    for (unsigned round = 0, left = threads.size(); left > 0; round++) {
        bool moved = false;
        for (unsigned i = 0; i < threads.size(); i++) {
            current = round % 2 == 0 ? i : threads.size() - 1 - i;
            Thread& thread = threads[current];
            if (thread.done || (thread.meeting && thread.held == thread.meeting->held)) continue;
            moved = true, threadIdx = thread.index;
            blockIdx = {block.x, block.y, block.z + block_of(current)};
            swapcontext(&scheduler, &thread.context);
            left -= thread.done;
        }
        if (moved) continue;
        while (threads[current].done) current = (current + 1) % threads.size();
        const Meeting& meeting = *threads[current].meeting;
        fail("waits at %s, where only %u come", meeting.what, meeting.arrived);
    }
}

template <class... Arguments>
void launch(Index grid, Index block, unsigned cluster, void (*entry)(Arguments...),
            void** parameters) {
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    const auto call = [=]<std::size_t... I>(std::index_sequence<I...>) {
        entry(*static_cast<Arguments*>(parameters[I])...);
    };
    kernel = [=] { call(std::index_sequence_for<Arguments...>()); };
    blockDim = block, barriers.resize(cluster);
    threads.resize(block.x * block.y * block.z * cluster);
    if (block_size() % WARP != 0) fail("is one of %u: no whole warps", block_size());
    if (grid.z % cluster != 0) fail("has a grid of %u along z: no whole clusters", grid.z);
    for (unsigned i = 0; i < grid.x * grid.y * grid.z / cluster; i++) {
        play({i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y * cluster});
    }
}

/// Words of eight bytes that an argument has; none beyond the last.
template <class... Arguments>
unsigned words(void (*)(Arguments...), unsigned argument) {
    constexpr unsigned all[] = {sizeof(Arguments) / 8 ...};
    return argument < std::size(all) ? all[argument] : 0;
}

inline float number(uint32_t pair, unsigned half) {
    return std::bit_cast<_Float16>(uint16_t(pair >> 16 * half));
}

/// What an mma m16n8k16 adds to c, of operands that lie in lanes as PTX says. Products of
/// f16 are exact; their sum is rounded once here. A GPU rounds, or cuts, in its own way.
inline void multiply(Thread* lanes) {
    float a[16][16], b[16][8];
    for (unsigned i = 0; i < WARP * 8; i++) {
        const unsigned lane = i / 8, word = i / 2 % 4, k = word / 2 * 8 + lane % 4 * 2 + i % 2;
        a[word % 2 * 8 + lane / 4][k] = number(lanes[lane].a[word], i % 2);
        b[k][lane / 4] = number(lanes[lane].b[word / 2], i % 2);
    }
    for (unsigned i = 0; i < WARP * 4; i++) {
        const unsigned lane = i / 4, row = i / 2 % 2 * 8 + lane / 4, column = lane % 4 * 2 + i % 2;
        double sum = lanes[lane].c[i % 4];
        for (unsigned k = 0; k < 16; k++) sum += double(a[row][k]) * b[k][column];
        lanes[lane].c[i % 4] = float(sum);
    }
}

} // namespace emulator

// What kernels have in their section of a GPU's instructions.

inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    emulator::Thread& lane = emulator::threads[emulator::current];
    std::copy_n(a, 4, lane.a), std::copy_n(b, 2, lane.b), std::copy_n(c, 4, lane.c);
    emulator::meet_warp("an mma", emulator::multiply);
    std::copy_n(lane.c, 4, c);
}
inline uint32_t halves(float low, float high) { // _Float16 rounds to nearest even.
    const auto bits = [](float v) { return std::bit_cast<uint16_t>(_Float16(v)); };
    return bits(low) | uint32_t(bits(high)) << 16;
}
inline float2 floats(uint32_t v) { return {emulator::number(v, 0), emulator::number(v, 1)}; }
inline uint32_t minus(uint32_t a, uint32_t b) {
    return halves(floats(a).x - floats(b).x, floats(a).y - floats(b).y);
}
inline uint32_t and_or(uint32_t v, uint32_t mask, uint32_t more) { return (v & mask) | more; }
inline uint32_t bytes(uint32_t a, uint32_t b, uint32_t which) {
    uint32_t four = 0;
    for (unsigned i = 0; i < 32; i += 8, which >>= 4) {
        four |= ((which & 4 ? b : a) >> (which & 3) * 8 & 0xff) << i;
    }
    return four;
}
inline uint32_t of_lane(uint32_t v, unsigned lane) { return emulator::shuffle(v, lane); }
inline float of_lane(float v, unsigned lane) {
    return std::bit_cast<float>(emulator::shuffle(std::bit_cast<uint32_t>(v), lane));
}
inline float across(float v, unsigned mask) {
    const unsigned from = emulator::current % emulator::WARP ^ mask;
    return std::bit_cast<float>(emulator::shuffle(std::bit_cast<uint32_t>(v), from));
}
inline uint32_t bits(float v) { return std::bit_cast<uint32_t>(v); }
inline float of_bits(uint32_t v) { return std::bit_cast<float>(v); }
inline bool every(bool v) {
    bool yes = true;
    for (unsigned lane = 0; lane < emulator::WARP; lane++) yes &= emulator::shuffle(v, lane) != 0;
    return yes;
}
inline void sync_warp() { emulator::meet_warp("a barrier of its warp", [](auto) {}); }
inline void __syncthreads() {
    emulator::Meeting& barrier = emulator::barriers[emulator::block_of(emulator::current)];
    emulator::meet(barrier, emulator::block_size(), "a barrier", [] {});
}
inline void sync_cluster() {
    emulator::meet(emulator::all_blocks, emulator::threads.size(), "a barrier of blocks", [] {});
}
inline void leave_cluster() { sync_cluster(); }
/// Each block of a cluster has its own, side by side.
#define IN_CLUSTERS
#define SHARED_BY_CLUSTER(type, name)                                                        \
    alignas(16) static type name##_of[CLUSTER];                                              \
    type& name = name##_of[emulator::block_of(emulator::current)]
template <class Shared>
float of_block(const Shared& shared, const float& here, unsigned block) {
    const auto place = reinterpret_cast<const char*>(&here) - reinterpret_cast<const char*>(&shared);
    const Shared* const others = &shared - emulator::block_of(emulator::current);
    return *reinterpret_cast<const float*>(reinterpret_cast<const char*>(others + block) + place);
}
inline void stream_half(uint32_t& v, const void* at, bool there) {
    if (there) v = *static_cast<const uint16_t*>(at);
}
inline void stream(uint32_t& v, const void* at, bool there) {
    if (there) v = *static_cast<const uint32_t*>(at);
}
inline void stream(uint32_t (&v)[4], const void* at, bool there) {
    if (there && std::uintptr_t(at) % sizeof v != 0) emulator::fail("loads 16 bytes at %p", at);
    if (there) std::memcpy(v, at, sizeof v);
}
inline void load(float (&v)[4], const float* at, bool there) {
    if (there && std::uintptr_t(at) % sizeof v != 0) emulator::fail("loads 16 bytes at %p", at);
    if (there) std::copy_n(at, 4, v);
}
inline void copy(float (&to)[4], const float* at, bool there) { // At once: a copy that is
    std::fill_n(to, 4, 0), load(to, at, there);                  // not waited for goes unseen.
}
inline void end_copies() {}
template <unsigned>
void wait_for_copies() {}
inline void fragment(uint32_t (&a)[4], const uint32_t (&from)[4][32], unsigned lane) {
    for (unsigned i = 0; i < 4; i++) a[i] = from[i][lane];
}
inline void take(uint32_t (&v)[4], const uint16_t* at) {
    if (std::uintptr_t(at) % sizeof v != 0) emulator::fail("loads 16 bytes at %p", at);
    std::memcpy(v, at, sizeof v);
}

#define CLUSTER 1 // Blocks of threads are on their own, unless a variant defines it anew.
#define EMULATE(entry)                                                                       \
    extern "C" void eaglet_emulate(unsigned grid_x, unsigned grid_y, unsigned grid_z,        \
                                   unsigned x, unsigned y, unsigned z, void** parameters) {  \
        emulator::launch({grid_x, grid_y, grid_z}, {x, y, z}, CLUSTER, entry, parameters);   \
    }                                                                                        \
    extern "C" unsigned eaglet_words(unsigned argument) {                                    \
        return emulator::words(entry, argument);                                             \
    }
