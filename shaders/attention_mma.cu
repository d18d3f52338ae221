// Path attention on tensor cores: softmax over the slots that a row sees, in the order of
// their logical positions. For NVIDIA GPUs of compute capability 8.0 and later, and f16 caches.
//
// Compiled when a program runs, once for each variant; lines before this text say which:
//   KERNEL  the name of the entry
//   DIM     dimensions of a head: 64 or 128
//   KV      key heads
//   RATIO   query heads that share a key head, 16 at most
//   SCALE   what queries are multiplied with first
//   SPLIT   0 or 1: whether each span of positions has a block of threads of its own
//
// Bindings:
//   queries  [rows, KV RATIO, DIM] f32
//   keys     [slots, KV, DIM] f16
//   values   the same
//   rows     u32, as backends/src/cube/rows.rs says
//   mixed    [rows, KV RATIO, DIM] f32; split: [rows, KV RATIO, spans, DIM + 2], the sums with
//            their maximum and their total
// Grid: [KV, groups of GROUP rows, spans if split]. Block: [32, 8].
//
// What mma takes 16 rows of are the query heads of a group of rows, so that they read their
// keys once. A span of 256 positions is eight tiles of 32, each of which a warp takes alone:
// scores, softmax and sums; then the eight are merged, always by the same tree. Rows that
// see only some of a tile's positions, or other slots than their neighbours, as branches of
// a tree do, go through it one by one, shared among the warps, by the very same arithmetic:
// so no row's products ever stand in a sum with what it does not see.
//
// Queries times SCALE, which have to be numbers of f16, and weights are split into two each.
//
// A row's result does not depend, to the bit, on the rows beside it, nor on which slots hold
// its keys.

struct Sizes {
    u64 rows;  // of queries
    u64 spans; // of positions
};

constexpr u32 WARPS = 8, TILE = 32, SPAN = WARPS * TILE; // positions
constexpr u32 GROUP = RATIO == 1 ? WARPS : 16 / RATIO;   // rows, no more than warps
constexpr u32 OCTETS = DIM / 8;
constexpr u32 VALUES = 4 * OCTETS + 4; // of a lane's `State`
constexpr float NOTHING = -1e38f;      // below every score

/// What positions gave for a lane's share of 16 query heads: the highest score of heads g and
/// g + 8, the sums of weights relative to it, and those of weighted values.
struct State {
    float most[2], total[2];
    float sums[OCTETS][4]; // of dims 64 q + 16 t to + 15: e + 8 i at [8 q + e][2 half + i]
};

/// What a row is, as `rows` has it.
struct Row {
    u32 seen, prefix, table, path;
};

/// Who this is, and what it works on.
struct Lane {
    u32 warp, lane, g, t;
    const u16 *keys, *values; // of slot 0, of the key head
    const float* query[2];    // of heads g and g + 8, from dim 8 t on
    u32 seen[2];              // by them; none if they are not there
};

DEVICE Row row(const u32* rows, u32 number) {
    const u32* at = rows + number * 6;
    return {at[0] + 1, at[2], at[3], at[4]};
}

DEVICE u32 slot(const u32* rows, const Row& row, u32 position) {
    return rows[position < row.prefix ? row.table + position : row.path + position - row.prefix];
}

/// What a tile of positions from `first` on gives. Each lane brings the slot of one of them;
/// beyond the last that is seen, its slot.
DEVICE void attend(State& to, const Lane& me, u32 first, u32 slot) {
    u32 keys[4][DIM / 32][4]; // of position 8 j + g, from dim 32 c + 8 t on
    EACH(j, 4) {
        const u16* at = me.keys + u64(of_lane(slot, j * 8 + me.g)) * (KV * DIM) + me.t * 8;
        EACH(c, DIM / 32) take(keys[j][c], at + c * 32);
    }
    u32 values[DIM / 64][2][4][4]; // of positions 16 k + 2 t, the next, and those 8 further on
    EACH(k, 2) EACH(i, 4) {
        const u32 from = of_lane(slot, k * 16 + i / 2 * 8 + me.t * 2 + i % 2);
        const u16* at = me.values + u64(from) * (KV * DIM) + me.g * 8;
        EACH(q, DIM / 64) take(values[q][k][i], at + q * 64);
    }
    float scores[4][4] = {}; // of positions 8 j + 2 t and the next
    EACH(c, DIM / 32) {
        u32 hi[2][4], lo[2][4];
        EACH(half, 2) EACH(step, 2) {
            float v[4] = {};
            load(v, me.query[half] + c * 32 + step * 4, me.seen[half] > 0);
            EACH(i, 4) v[i] = __fmul_rn(v[i], SCALE);
            EACH(i, 2) split(hi[step][half + 2 * i], lo[step][half + 2 * i], v[2 * i], v[2 * i + 1]);
        }
        EACH(step, 2) EACH(j, 4) {
            const u32 b[2] = {keys[j][c][2 * step], keys[j][c][2 * step + 1]};
            mma(scores[j], lo[step], b);
            mma(scores[j], hi[step], b);
        }
    }
    u32 hi[2][4], lo[2][4]; // weights, of positions 16 k on
    EACH(half, 2) {
        const auto seen = [&](u32 j, u32 i) { return first + j * 8 + me.t * 2 + i < me.seen[half]; };
        float most = NOTHING, total = 0;
        EACH(j, 4) EACH(i, 2) most = max(most, seen(j, i) ? scores[j][half * 2 + i] : NOTHING);
        most = max(most, across(most, 1));
        most = max(most, across(most, 2));
        EACH(j, 4) {
            float w[2];
            EACH(i, 2) {
                w[i] = seen(j, i) ? expf(__fadd_rn(scores[j][half * 2 + i], -most)) : 0;
                total = __fadd_rn(total, w[i]);
            }
            split(hi[j / 2][half + j % 2 * 2], lo[j / 2][half + j % 2 * 2], w[0], w[1]);
        }
        total = __fadd_rn(total, across(total, 1));
        to.total[half] = __fadd_rn(total, across(total, 2));
        to.most[half] = most;
    }
    EACH(q, DIM / 64) {
        const auto& v = values[q];
        EACH(e, 8) {
            float(&sums)[4] = to.sums[q * 8 + e];
            EACH(i, 4) sums[i] = 0;
            EACH(k, 2) {
                const u32 which = e % 2 ? 0x7632 : 0x5410;
                const u32 b[2] = {bytes(v[k][0][e / 2], v[k][1][e / 2], which),
                                  bytes(v[k][2][e / 2], v[k][3][e / 2], which)};
                mma(sums, lo[k], b);
                mma(sums, hi[k], b);
            }
        }
    }
}

DEVICE void forget(State& state) {
    EACH(half, 2) state.most[half] = NOTHING, state.total[half] = 0;
    EACH(j, OCTETS) EACH(i, 4) state.sums[j][i] = 0;
}

/// What one warp leaves for another: each lane for the one of its number.
typedef float Left[VALUES][32];

DEVICE void leave(Left& left, const State& from, u32 lane, u32 half) {
    left[half][lane] = from.most[half];
    left[2 + half][lane] = from.total[half];
    EACH(j, OCTETS) EACH(i, 2) {
        left[4 + j * 4 + half * 2 + i][lane] = from.sums[j][half * 2 + i];
    }
}

DEVICE void find(State& to, const Left& left, u32 lane) {
    EACH(half, 2) to.most[half] = left[half][lane], to.total[half] = left[2 + half][lane];
    EACH(j, OCTETS) EACH(i, 4) to.sums[j][i] = left[4 + j * 4 + i][lane];
}

/// What scores of an earlier maximum weigh beside a higher one.
DEVICE float fade(float most, float highest) {
    return most == highest ? 1 : expf(__fadd_rn(most, -highest));
}

/// Adds what later positions gave. Of those that a row does not see nothing changes.
DEVICE void merge(State& to, const Left& later, u32 lane) {
    EACH(half, 2) {
        const float most = later[half][lane], highest = max(to.most[half], most);
        if (most == NOTHING) continue;
        const float old = fade(to.most[half], highest), fresh = fade(most, highest);
        to.most[half] = highest;
        to.total[half] = __fmaf_rn(to.total[half], old, __fmul_rn(later[2 + half][lane], fresh));
        EACH(j, OCTETS) EACH(i, 2) {
            float& sum = to.sums[j][half * 2 + i];
            sum = __fmaf_rn(sum, old, __fmul_rn(later[4 + j * 4 + half * 2 + i][lane], fresh));
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
    KERNEL(const float* queries, const u16* keys, const u16* values, const u32* rows, float* mixed,
           const __grid_constant__ Sizes sizes) {
    __shared__ Left left[WARPS / 2];
    __shared__ Left whole;         // what earlier spans gave, where there are several
    __shared__ u32 branches[WARPS]; // whether rows go through a warp's tile one by one
    const u32 head = blockIdx.x, first_row = blockIdx.y * GROUP;
    const u32 count = min(u32(sizes.rows) - first_row, GROUP);
    Lane me;
    me.warp = of_lane(threadIdx.y, 0); // So that a compiler knows that all have the same.
    me.lane = threadIdx.x;
    me.g = me.lane / 4;
    me.t = me.lane % 4;
    me.keys = keys + head * DIM;
    me.values = values + head * DIM;
    EACH(half, 2) {
        const u32 a = me.g + half * 8, number = first_row + a / RATIO;
        const bool there = a / RATIO < count;
        me.seen[half] = there ? row(rows, number).seen : 0;
        const u64 query = u64(there ? number : 0) * (KV * RATIO) + head * RATIO + a % RATIO;
        me.query[half] = queries + query * DIM + me.t * 8;
    }
    Row longest = row(rows, first_row);
    for (u32 i = 1; i < count; i++) {
        const Row other = row(rows, first_row + i);
        if (other.seen > longest.seen) longest = other;
    }

    State state;
    const u32 begin = SPLIT ? blockIdx.z * SPAN : 0, end = SPLIT ? begin + 1 : longest.seen;
    if (begin >= longest.seen) return;
    for (u32 span = begin; span < end; span += SPAN) {
        const u32 first = span + me.warp * TILE;
        const u32 position = min(first + me.lane, longest.seen - 1);
        const u32 ours = slot(rows, longest, position);
        bool same = true;
        for (u32 i = 0; i < count && count > 1; i++) {
            const Row other = row(rows, first_row + i);
            if (other.seen <= first) continue; // What it would give is not merged.
            same &= other.seen >= first + TILE && slot(rows, other, position) == ours;
        }
        same = every(same);
        if (me.lane == 0) branches[me.warp] = !same;
        __syncthreads();
        forget(state);
        if (same && first < longest.seen) attend(state, me, first, ours);
        for (u32 warp = 0; warp < WARPS; warp++) {
            if (!branches[warp]) continue;
            __syncthreads(); // What was left before is found.
            const u32 first = span + warp * TILE;
            for (u32 i = me.warp; i < count; i += WARPS) {
                const Row one = row(rows, first_row + i);
                State alone;
                forget(alone);
                if (first < one.seen) {
                    attend(alone, me, first, slot(rows, one, min(first + me.lane, one.seen - 1)));
                }
                EACH(half, 2) {
                    if ((me.g + half * 8) / RATIO == i) leave(left[0], alone, me.lane, half);
                }
            }
            __syncthreads();
            if (warp == me.warp) find(state, left[0], me.lane);
        }
        __syncthreads();
#pragma unroll
        for (u32 half = WARPS / 2; half > 0; half /= 2) {
            if (me.warp >= half && me.warp < 2 * half) {
                EACH(i, 2) leave(left[me.warp - half], state, me.lane, i);
            }
            __syncthreads();
            if (me.warp < half) merge(state, left[me.warp], me.lane);
            __syncthreads();
        }
        if (SPLIT || me.warp > 0) continue;
        if (span > 0) {
            EACH(i, 2) leave(left[0], state, me.lane, i);
            find(state, whole, me.lane);
            merge(state, left[0], me.lane);
        }
        if (span + SPAN < end) EACH(i, 2) leave(whole, state, me.lane, i);
    }

    if (me.warp > 0) return;
    EACH(half, 2) {
        const u32 a = me.g + half * 8;
        if (a / RATIO >= count) continue;
        const u64 at = u64(first_row + a / RATIO) * (KV * RATIO) + head * RATIO + a % RATIO;
        float* to = mixed + (SPLIT ? (at * sizes.spans + blockIdx.z) * (DIM + 2) : at * DIM);
        EACH(q, DIM / 64) EACH(i, 2) EACH(e, 8) {
            const float sum = state.sums[q * 8 + e][half * 2 + i];
            to[q * 64 + me.t * 16 + i * 8 + e] = SPLIT ? sum : __fdiv_rn(sum, state.total[half]);
        }
        if (SPLIT && me.t == 0) to[DIM] = state.most[half], to[DIM + 1] = state.total[half];
    }
}
