// What the kernels for NVIDIA's tensor cores have in common: put before their texts.
//
// Tensor cores multiply f16. Numbers of f32 are split into two of them, and both multiplied.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__
/// A loop that is unrolled: arrays are in registers, so indices have to be known.
#define EACH(i, count) _Pragma("unroll") for (u32 i = 0; i < (count); i++)

#ifndef EMULATED // The GPU's own. backends/src/cube/nvrtc/emulator.hpp plays it.

/// c += a b, of [16, 16] and [16, 8]. In lane 4 g + t, a is of rows g and g + 8 and b of
/// column g, both of the four k that t stands for; c is of columns 2 t and 2 t + 1.
DEVICE void mma(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// Two numbers as f16, rounded to nearest, the first in the low half.
DEVICE u32 halves(float low, float high) {
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
/// And back.
DEVICE float2 floats(u32 pair) {
    float2 v;
    asm("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h; }"
        : "=f"(v.x), "=f"(v.y) : "r"(pair));
    return v;
}
/// a - b, of two f16 each.
DEVICE u32 minus(u32 a, u32 b) {
    asm("sub.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
    return a;
}
/// v & mask | more, in one instruction where constants would make it two.
DEVICE u32 and_or(u32 v, u32 mask, u32 more) {
    u32 to;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(to) : "r"(v), "r"(mask), "r"(more));
    return to;
}
/// Four of the bytes of a (0 to 3) and b (4 to 7), which the digits of `which` name.
DEVICE u32 bytes(u32 a, u32 b, u32 which) { return __byte_perm(a, b, which); }
/// What the lane has whose number differs in the bits of `mask`; what a lane has.
DEVICE float across(float v, u32 mask) { return __shfl_xor_sync(~0u, v, mask); }
DEVICE u32 of_lane(u32 v, u32 lane) { return __shfl_sync(~0u, v, lane); }
DEVICE float of_lane(float v, u32 lane) { return __shfl_sync(~0u, v, lane); }
/// A number's bits, and back.
DEVICE u32 bits(float v) { return __float_as_uint(v); }
DEVICE float of_bits(u32 v) { return __uint_as_float(v); }
/// Whether all lanes say so.
DEVICE bool every(bool v) { return __all_sync(~0u, v); }
DEVICE void sync_warp() { __syncwarp(); }

// Blocks of threads that run together and see each other's shared memory, CLUSTER along z:
// from compute capability 9.0 on, elsewhere there is one.
#ifdef CLUSTER
#define SHARED_BY_CLUSTER(type, name) alignas(16) __shared__ type name
#if CLUSTER > 1
#define IN_CLUSTERS __cluster_dims__(1, 1, CLUSTER)
DEVICE void sync_cluster() {
    asm volatile("barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;" ::: "memory");
}
/// For a block that has used all that it read of others, and wrote nothing for them.
DEVICE void leave_cluster() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.aligned;"
                 ::: "memory");
}
/// What another block has where `here`, in `shared`, is this one's.
template <class Shared>
DEVICE float of_block(const Shared& shared, const float& here, u32 block) {
    float v;
    asm volatile("{ .reg .u32 at; mapa.shared::cluster.u32 at, %1, %2;"
                 "ld.shared::cluster.f32 %0, [at]; }"
                 : "=f"(v) : "r"(u32(__cvta_generic_to_shared(&here))), "r"(block) : "memory");
    return v;
}
#else
#define IN_CLUSTERS
DEVICE void sync_cluster() { __syncthreads(); }
DEVICE void leave_cluster() {}
template <class Shared>
DEVICE float of_block(const Shared&, const float& here, u32) { return here; }
#endif
#endif

// Loads, where `there`; elsewhere v stays what it was. They happen where they are written,
// which is early. What is read once shall not drive x out of the cache.
#define STREAM "{ .reg .pred p; setp.ne.u32 p, %2, 0; @p ld.global.nc.L1::no_allocate."
DEVICE void stream_half(u32& v, const void* at, bool there) {
    u16 low = v;
    asm volatile(STREAM "u16 %0, [%1]; }" : "+h"(low) : "l"(at), "r"(u32(there)));
    v = low;
}
DEVICE void stream(u32& v, const void* at, bool there) {
    asm volatile(STREAM "u32 %0, [%1]; }" : "+r"(v) : "l"(at), "r"(u32(there)));
}
DEVICE void stream(u32 (&v)[4], const void* at, bool there) {
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0;"
                 "@p ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4]; }"
                 : "+r"(v[0]), "+r"(v[1]), "+r"(v[2]), "+r"(v[3]) : "l"(at), "r"(u32(there)));
}
DEVICE void load(float (&v)[4], const float* at, bool there) {
    asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0;"
                 "@p ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4]; }"
                 : "+f"(v[0]), "+f"(v[1]), "+f"(v[2]), "+f"(v[3]) : "l"(at), "r"(u32(there)));
}
/// Copies 16 bytes to shared memory, or zeros, while the lane goes on. Copies are told apart by
/// where one says that they end, and waited for but for the last so many.
DEVICE void copy(float (&to)[4], const float* at, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;"
                 :: "r"(u32(__cvta_generic_to_shared(to))), "l"(at), "r"(there ? 16 : 0) : "memory");
}
DEVICE void end_copies() { asm volatile("cp.async.commit_group;"); }
template <u32 BUT>
DEVICE void wait_for_copies() { asm volatile("cp.async.wait_group %0;" :: "n"(BUT) : "memory"); }
/// Reads an operand of [16, 16], of which a quarter is [8, 8]: a lane's word of each.
DEVICE void fragment(u32 (&a)[4], const u32 (&from)[4][32], u32 lane) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                 : "r"(u32(__cvta_generic_to_shared(&from[0][0] + lane * 4))) : "memory");
}
/// Loads 16 bytes.
DEVICE void take(u32 (&v)[4], const u16* at) {
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "l"(at));
}

#endif

/// Splits numbers of up to 65504 in two f16 each, hi + lo: to 22 bits, and where they are small
/// to 2^-25.
DEVICE void split(u32& hi, u32& lo, float a, float b) {
    hi = halves(a, b);
    const float2 most = floats(hi);
    lo = halves(__fadd_rn(a, -most.x), __fadd_rn(b, -most.y));
}

