// Linear layers on tensor cores: y = x W^T for up to a few dozen rows, with what surrounds
// it in a transformer, in one launch. For NVIDIA GPUs of compute capability 8.0 and later.
//
// Compiled when a program runs, once for each variant; lines before this text say which:
//   KERNEL    the name of the entry
//   STORAGE   0: f16 numbers, 1: q8, 2: q4, in packets as backends/src/cube/decode.rs says
//   TILES     tiles of 16 rows that a block of threads takes on: 1, 2, or 4, with which sums
//             of 8 octets leave no registers to fetch weights ahead
//   COLUMNS   octets, which are 8 sums side by side, that it makes for each row: 4 or 8
//   NORM, BIAS, RESIDUAL, GATE   0 or 1: what comes before and after
//
// Bindings (those that a variant does without may be any pointer):
//   x         [rows, inputs] f32
//   gain      [inputs] f32, the weight of the RMS norm that x goes through first
//   weights   [packets, outputs], packets of 8 bytes (f16) or 16
//   scales    [blocks, outputs] f16, in q4 each followed by the block's minimum
//   bias      [width] f32
//   residual  [rows, width] f32
//   y         [rows, width] f32, of which these outputs are columns `first` and on
// Grid: [tiles of 16 TILES rows, groups of RESULTS results]. Block: [32, 8].
//
// Such a layer waits for memory, so all is arranged to read weights once, and early. Eight
// warps share k: warp s takes the blocks of 32 values s, s + 8, ... and has sums of its own
// for all rows and columns, in registers; in the end the eight are added in the order of s.
// While a block is multiplied, the weights of the next ones and the next rows are underway.
//
// Tensor cores multiply f16. Weights are exact in it, quantised ones as integers, whose
// scale is applied to a block's sum. Of x nothing is lost either: it is split into two f16,
// x = hi + lo, and both are multiplied.
//
// A row's result does not depend, to the bit, on the rows beside it, on its place among
// them, on TILES or on COLUMNS. None of these enters the order of a sum, and operations
// that a compiler might fuse, or might not, are spelled out.

struct Sizes {
    u64 rows, inputs; // of x
    u64 outputs;      // of this part of the weight
    u64 first, width; // where they begin among the columns of the result; all of those
    float epsilon;    // added to the mean square by the norm
    u32 unused;
};

#if STORAGE == 0
typedef u64 Word;  // what a lane takes of a packet: all, but of every fourth packet
typedef u16 Scale; // none
constexpr u32 PACKETS = 8, WORDS = 1, LOADS = 2; // of a block, of a packet, of a lane
#elif STORAGE == 1
typedef u32 Word;  // values 4 t to 4 t + 3
typedef u16 Scale;
constexpr u32 PACKETS = 2, WORDS = 4, LOADS = 2;
#else
typedef u32 Word;  // the same, and those 16 further on
typedef u32 Scale; // and minimum
constexpr u32 PACKETS = 1, WORDS = 4, LOADS = 1;
#endif
constexpr u32 WARPS = 8;
constexpr u32 STEPS = 2;              // of 16 values, in a block of 32
constexpr u32 STREAMS = GATE ? 2 : 1; // gates and what they gate
constexpr u32 SUMS = 8 * COLUMNS;     // of a row, in a block of threads
constexpr u32 RESULTS = SUMS / STREAMS;
// Blocks on their way to each warp: 16 bytes for a lane and column, if registers suffice.
constexpr u32 STAGES = (1 << STORAGE) > TILES ? (1 << STORAGE) / TILES : 1;

/// A lane's share of a block's weights: of column g of each octet the values 4 t to
/// 4 t + 3 of both steps. No lane needs for its mma what another one loads.
struct Packed {
    Word words[LOADS][COLUMNS];
    Scale scales[COLUMNS / 4]; // of sums `lane` and `lane + 32`
    float gain;                // of value `lane`
};

/// What a warp's lanes give each other of a block; read 16 bytes at a time.
struct alignas(16) Shared {
    float gain[32], factors[SUMS][2]; // scale and minimum
};

/// A lane's share of 16 rows of x as mma takes it: of rows g and g + 8 those same values;
/// and the sums of all of the block's values of these rows.
struct Split {
    u32 hi[STEPS][4], lo[STEPS][4];
    float sum[2];
};

/// Who this is, and where its share lies.
struct Lane {
    u32 warp, lane, g, t;
    u32 inputs, outputs;
    u32 rows, results;    // from g on
    const float* x;       // of row g, from value 4 t on
    const float* gain;    // of value `lane` of the block that is sent for next
    const Word* weights;  // of this one too
    const Scale* scales;
};

/// Whether x has values 4 t and on of a step. f16 may end within a block.
DEVICE bool values(const Lane& me, u32 block, u32 step) {
    return block * 32 + step * 16 + me.t * 4 < me.inputs;
}

/// Sends for a block's weights. What is missing stays zero, or what it was: x is zero where
/// values are missing, and columns beyond the end are not stored.
DEVICE void send_for(Packed& to, Lane& me, u32 block) {
    constexpr u32 OCTETS = COLUMNS / STREAMS; // Those of gates come first.
    const u64 gated = me.outputs / STREAMS;
    EACH(i, LOADS) {
        const Word* packets = me.weights + u64(i * PACKETS / LOADS * WORDS) * me.outputs;
        const u32 results = values(me, block, i) ? me.results : 0;
        EACH(j, COLUMNS) {
            const u64 at = (j / OCTETS * gated + j % OCTETS * 8) * WORDS;
            stream(to.words[i][j], packets + at, j % OCTETS * 8 < results);
        }
    }
    me.weights += u64(WARPS * PACKETS * WORDS) * me.outputs;
    if (STORAGE != 0) EACH(i, COLUMNS / 4) {
        const u32 sum = me.lane + i * 32, result = blockIdx.y * RESULTS + sum % RESULTS;
        const bool there = values(me, block, 0) && result < gated;
        stream(to.scales[i], me.scales + (sum / RESULTS * gated + result), there);
    }
    me.scales += u64(WARPS) * me.outputs;
    if (NORM) stream(to.gain, me.gain, block * 32 + me.lane < me.inputs);
    me.gain += WARPS * 32;
}

/// Bytes as f16: 0x6400 is 1024, whose last bits count ones. `zero` is what stands for 0.
DEVICE void unpack(u32 (&to)[2], u32 four, u32 zero) {
    to[0] = minus(bytes(four, 0x64646464, 0x4140), zero);
    to[1] = minus(bytes(four, 0x64646464, 0x4342), zero);
}

/// Makes numbers of a block that has come, and gives the others of the warp their part.
DEVICE void receive(u32 (&to)[COLUMNS][STEPS][2], Shared& shared, const Packed& from, u32 lane) {
    EACH(j, COLUMNS) EACH(step, STEPS) {
        const Word word = from.words[step % LOADS][j];
#if STORAGE == 0
        to[j][step][0] = u32(word);
        to[j][step][1] = u32(word >> 32);
#elif STORAGE == 1
        unpack(to[j][step], word, 0x64806480);
#else
        unpack(to[j][step], word >> 4 * step & 0x0f0f0f0f, 0x64006400);
#endif
    }
    if (STORAGE == 0 && !NORM) return;
    sync_warp(); // All are done with the block before.
    if (STORAGE != 0) EACH(i, COLUMNS / 4) {
        const float2 factors = floats(from.scales[i]);
        shared.factors[lane + i * 32][0] = factors.x;
        shared.factors[lane + i * 32][1] = factors.y;
    }
    if (NORM) shared.gain[lane] = from.gain;
    sync_warp();
}

/// Loads a lane's share of a tile's rows at a block. Rows that are not there stay what they
/// were: whatever they give is not stored, and no other row has a part in it.
DEVICE void load_rows(float (&to)[2][STEPS][4], const Lane& me, u32 block, u32 tile) {
    EACH(half, 2) EACH(step, STEPS) {
        const u32 row = tile * 16 + half * 8;
        const bool there = values(me, block, step);
        EACH(i, 4) if (STORAGE == 0 && !there) to[half][step][i] = 0;
        const float* at = me.x + u64(row) * me.inputs + block * 32 + step * 16;
        load(to[half][step], at, there && row < me.rows);
    }
}

/// Splits 16 rows, or only the first eight; `roots` are the rows' factors in the norm.
DEVICE void split_rows(Split& to, const float (&from)[2][STEPS][4], const float* gain,
                  const volatile float* roots, bool all) {
    EACH(half, 2) {
        if (half == 1 && !all) return;
        const float root = NORM ? roots[half * 8] : 1;
        float sum[STEPS];
        EACH(step, STEPS) {
            float v[4], gains[4];
            if (NORM) reread(gains, gain + step * 16);
            EACH(i, 4) v[i] = from[half][step][i];
            if (NORM) EACH(i, 4) v[i] = __fmul_rn(__fmul_rn(v[i], root), gains[i]);
            sum[step] = __fadd_rn(__fadd_rn(v[0], v[1]), __fadd_rn(v[2], v[3]));
            EACH(i, 2) {
                const u32 at = half + 2 * i;
                split(to.hi[step][at], to.lo[step][at], v[2 * i], v[2 * i + 1]);
            }
        }
        to.sum[half] = __fadd_rn(sum[0], sum[1]);
        if (STORAGE == 2) {
            to.sum[half] = __fadd_rn(to.sum[half], across(to.sum[half], 1));
            to.sum[half] = __fadd_rn(to.sum[half], across(to.sum[half], 2));
        }
    }
}

/// Adds the products of 16 rows and a block's weights, four octets at a time, so that a
/// tensor core need not wait for one sum to take up the next.
DEVICE void multiply(float (&sums)[COLUMNS][4], const Split& a,
                     const u32 (&b)[COLUMNS][STEPS][2], const float* factors) {
    for (u32 first = 0; first < COLUMNS; first += 4) {
        float part[4][4] = {};
        EACH(step, STEPS) {
            EACH(j, 4) mma(part[j], a.lo[step], b[first + j][step]);
            EACH(j, 4) mma(part[j], a.hi[step], b[first + j][step]);
        }
        EACH(j, 4) {
            float factor[4] = {1, 0, 1, 0}; // of columns 2 t and 2 t + 1
            if (STORAGE != 0) reread(factor, factors + (first + j) * 16);
            EACH(i, 4) {
                float& sum = sums[first + j][i];
                if (STORAGE == 0) sum = __fadd_rn(part[j][i], sum);
                if (STORAGE != 0) sum = __fmaf_rn(factor[i % 2 * 2], part[j][i], sum);
                if (STORAGE == 2) sum = __fmaf_rn(factor[i % 2 * 2 + 1], a.sum[i / 2], sum);
            }
        }
    }
}

/// 1 / sqrt(mean(x^2) + epsilon) of rows from x on, one warp to a row.
DEVICE void inverse_roots(volatile float* roots, const float* x, u32 rows, const Lane& me,
                          float epsilon) {
    for (u32 row = me.warp; row < rows; row += WARPS) {
        float sum = 0;
#pragma unroll 8
        for (u32 k = me.lane * 4; k < me.inputs; k += 128) {
            float v[4] = {};
            load(v, x + u64(row) * me.inputs + k, true);
            EACH(i, 4) sum = __fmaf_rn(v[i], v[i], sum);
        }
        for (u32 mask = 16; mask > 0; mask /= 2) sum = __fadd_rn(sum, across(sum, mask));
        const float mean = __fdiv_rn(sum, float(me.inputs));
        if (me.lane == 0) roots[row] = __fdiv_rn(1, __fsqrt_rn(__fadd_rn(mean, epsilon)));
    }
    __syncthreads();
}

// Where sums are few, registers shall leave a processor room for two blocks of threads.
extern "C" __global__ void __launch_bounds__(256, TILES == 1 && COLUMNS == 4 ? 2 : 1)
    KERNEL(const float* x, const float* gain, const u32* weights, const u16* scales,
           const float* bias, const float* residual, float* y,
           const __grid_constant__ Sizes sizes) {
    __shared__ Shared shared[WARPS];
    __shared__ volatile float roots[16 * TILES];
    alignas(16) __shared__ float partial[WARPS][16][SUMS + 8]; // + 8: rows avoid one bank.
    const u32 first_row = blockIdx.x * 16 * TILES, first_result = blockIdx.y * RESULTS;
    const u32 rows = min(u32(sizes.rows) - first_row, 16u * TILES);
    Lane me;
    me.warp = of_lane(threadIdx.y, 0); // So that a compiler knows that all have the same.
    me.lane = threadIdx.x;
    me.g = me.lane / 4;
    me.t = me.lane % 4;
    me.inputs = sizes.inputs;
    me.outputs = sizes.outputs;
    const u32 results = me.outputs / STREAMS;
    me.rows = max(rows, me.g) - me.g;
    me.results = max(results, first_result + me.g) - first_result - me.g;
    me.x = x + u64(first_row + me.g) * me.inputs + me.t * 4;
    me.gain = gain + me.warp * 32 + me.lane;
    const u32 packet = me.warp * PACKETS + (WORDS == 1 ? me.t : 0);
    me.weights = reinterpret_cast<const Word*>(weights) +
                 (u64(packet) * me.outputs + first_result + me.g) * WORDS + me.t % WORDS;
    me.scales = reinterpret_cast<const Scale*>(scales) + u64(me.warp) * me.outputs;

    Packed coming[STAGES] = {};
    EACH(i, STAGES) send_for(coming[i], me, me.warp + i * WARPS);
    if (NORM) inverse_roots(roots, x + u64(first_row) * me.inputs, rows, me, sizes.epsilon);
    float next[2][STEPS][4] = {};
    load_rows(next, me, me.warp, 0);

    float sums[TILES][COLUMNS][4] = {};
    Shared& ours = shared[me.warp];
    for (u32 round = me.warp; round * 32 < me.inputs; round += WARPS * STAGES) {
        EACH(i, STAGES) {
            const u32 block = round + i * WARPS;
            if (block * 32 >= me.inputs) break;
            u32 b[COLUMNS][STEPS][2];
            receive(b, ours, coming[i], me.lane);
            send_for(coming[i], me, block + WARPS * STAGES);
            EACH(tile, TILES) {
                if (tile > 0 && tile * 16 >= rows) break;
                const bool more = tile + 1 < TILES && tile * 16 + 16 < rows;
                Split a = {};
                split_rows(a, next, &ours.gain[me.t * 4], &roots[tile * 16 + me.g],
                      tile * 16 + 8 < rows);
                load_rows(next, me, more ? block : block + WARPS, more ? tile + 1 : 0);
                multiply(sums[tile], a, b, ours.factors[me.t * 2]);
            }
        }
    }

    EACH(tile, TILES) {
        if (tile > 0) __syncthreads(); // The tile before is done with.
        EACH(i, COLUMNS * 2) {
            float* at = &partial[me.warp][i % 2 * 8 + me.g][i / 2 * 8 + me.t * 2];
            const float* pair = &sums[tile][i / 2][i % 2 * 2];
            *reinterpret_cast<float2*>(at) = {pair[0], pair[1]};
        }
        __syncthreads();
        for (u32 i = me.warp * 32 + me.lane; i < 16 * RESULTS; i += WARPS * 32) {
            const u32 row = i / RESULTS, result = i % RESULTS;
            if (tile * 16 + row >= rows || first_result + result >= results) continue;
            float total[STREAMS];
            EACH(s, STREAMS) {
                total[s] = partial[0][row][s * RESULTS + result];
                EACH(warp, WARPS - 1) {
                    total[s] = __fadd_rn(total[s], partial[warp + 1][row][s * RESULTS + result]);
                }
            }
            const u64 column = sizes.first + first_result + result;
            const u64 at = (first_row + tile * 16 + row) * sizes.width + column;
            float v = total[0];
            if (BIAS) v = __fadd_rn(v, bias[column]);
            if (GATE) v = __fmul_rn(__fdiv_rn(v, __fadd_rn(1, expf(-v))), total[STREAMS - 1]);
            if (RESIDUAL) v = __fadd_rn(v, residual[at]);
            y[at] = v;
        }
    }
}
