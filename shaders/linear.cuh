// What the kernels of linear layers on tensor cores have in common; put before their texts and
// after mma.cuh. y = x W^T with what surrounds it in a transformer, in one launch. For NVIDIA
// GPUs of compute capability 8.0 and later.
//
// Compiled when a program runs, once for each variant; lines before this text say which:
//   KERNEL    the name of the entry
//   STORAGE   0: f16 numbers, 1: q8, 2: q4, in packets as backends/src/cube/decode.rs says
//   MANY      0 or 1: whether it is the kernel for more than 8 rows
//   SINGLE    0 or 1: whether there is one row only
//   TILES     tiles of 16 rows that a block of threads takes on; 0: it takes up to 8 rows
//   GROUPS    groups of 16 sums that a warp makes for each row: 1, 2 or 4, even where gated
//   STAGES    blocks of weights that are on their way to each warp
//   CLUSTER   1, 2 or 4: blocks of threads that share slices; from compute capability 9.0 on
//   RESIDENT  blocks of threads for which a processor shall have registers
//   NORM, BIAS, RESIDUAL, GATE   0 or 1: what comes before and after
//
// Bindings (those that a variant does without may be any pointer):
//   x         [rows, inputs] f32
//   gain      [inputs] f32, the weight of the RMS norm that x goes through first
//   weights   [packets, outputs], packets of 8 bytes (f16, of an even number of outputs) or 16
//   scales    [blocks, outputs] f16, in q4 each followed by the block's minimum
//   bias      [width] f32
//   residual  [rows, width] f32
//   y         [rows, width] f32, of which these outputs are columns `first` and on
// Grid: [rows, results, CLUSTER], as many as a block of threads takes on. Block: [32, 8].
//
// Weights are exact in f16, quantised ones as integers, whose scale is applied to a block's
// sum. x times gain is brought to the size of f16, each row of a block by a power of two of
// its own, and split in two; the norm's factor, which is the row's, comes last.
//
// Of each row and output there are SLICES sums: slice s adds up the blocks of 32 values s,
// s + SLICES, ... in that order. Neighbours are added, then neighbours of these, and so on.
//
// A row's result does not depend, to the bit, on the rows beside it, on its place among them,
// on which kernel makes it, or on SINGLE, TILES, GROUPS, STAGES and CLUSTER. None of these
// enters the order of a sum, and operations that a compiler might fuse, or might not, are
// spelled out. To mma it is the same which of its operands are weights and which are rows.

struct Sizes {
    u64 rows, inputs; // of x
    u64 outputs;      // of this part of the weight
    u64 first, width; // where they begin among the columns of the result; all of those
    float epsilon;    // added to the mean square by the norm
    u32 unused;
};

constexpr u32 WARPS = 8;
constexpr u32 SLICES = 8;
constexpr u32 STEPS = 2;              // of 16 values, in a block of 32
constexpr u32 STREAMS = GATE ? 2 : 1; // gates and what they gate
constexpr u32 SUMS = 16 * GROUPS;     // of a row, in a warp
constexpr u32 RESULTS = SUMS / STREAMS;
constexpr u32 OWN = MANY ? 4 : 2;     // outputs of a group of which a lane has sums
constexpr u32 PACKETS = STORAGE == 0 ? 8 : STORAGE == 1 ? 2 : 1; // of a block
constexpr u32 BYTES = STORAGE == 0 ? 8 : 16;                     // of a packet
constexpr u32 LOADS = STORAGE == 2 ? 1 : 2; // of an output, by a lane, in a block
constexpr u32 SCALE_BYTES = STORAGE == 2 ? 4 : 2;

/// A lane's share of a block's weights: of two outputs of each group the values 4 t to
/// 4 t + 3 of both steps. Outputs are g and g + 8; in f16 2 g and 2 g + 1, which lie together.
/// And the scales of the outputs of which it has sums.
struct Packed {
    u32 words[GROUPS][LOADS][STORAGE == 0 ? 4 : 2];
    u32 scales[GROUPS][OWN];
};

/// A lane's share of 8 rows of x as mma takes it: of row g those same values, in pairs.
struct Split {
    u32 hi[STEPS][2], lo[STEPS][2];
};

/// Who this is, and where its share lies.
struct Lane {
    u32 warp, lane, g, t;
    u32 inputs, outputs;
    // Results that there are from its outputs on, of the first group: those whose weights it
    // has, and those of which it has sums.
    u32 weighed[2], summed[OWN];
    bool has_row;
    const float *x, *gain; // of row g, from value 4 t on
    const char *weights, *scales; // of the first block
    u32 weights_step, scales_step; // bytes to the next one
};

/// Which of a group's outputs are the two whose weights a lane has.
DEVICE u32 output(const Lane& me, u32 h) { return STORAGE == 0 ? me.g * 2 + h : me.g + h * 8; }

/// And which those of which it has sums. Of many rows, outputs are columns to mma, and its
/// columns 2 t and 2 t + 1 are a lane's.
DEVICE u32 own(const Lane& me, u32 k) {
    if (!MANY) return output(me, k);
    const u32 column = me.t * 2 + k % 2;
    return STORAGE == 0 ? column * 2 + k / 2 : column + k / 2 * 8;
}

/// A lane that splits the 8 rows, or less, from `row` on, and makes results from `result` on.
DEVICE Lane enter(const float* x, const float* gain, const u32* weights, const u16* scales,
                  const Sizes& sizes, u32 row, u32 result) {
    Lane me;
    me.warp = of_lane(threadIdx.y, 0); // So that a compiler knows that all have the same.
    me.lane = threadIdx.x;
    me.g = me.lane / 4;
    me.t = me.lane % 4;
    me.inputs = sizes.inputs;
    me.outputs = sizes.outputs;
    const u32 results = me.outputs / STREAMS, mine = row + (SINGLE ? 0 : me.g);
    EACH(h, 2) me.weighed[h] = max(results, result + output(me, h)) - result - output(me, h);
    EACH(k, OWN) me.summed[k] = max(results, result + own(me, k)) - result - own(me, k);
    me.has_row = mine < sizes.rows;
    me.x = x + (me.has_row ? u64(mine) * me.inputs : 0) + me.t * 4;
    me.gain = gain + me.t * 4;
    const u64 first = result + output(me, 0);
    me.weights = reinterpret_cast<const char*>(weights) + first * BYTES +
                 (STORAGE == 0 ? me.t * me.outputs * BYTES : me.t * 4);
    me.scales = reinterpret_cast<const char*>(scales) + u64(result) * SCALE_BYTES;
    me.weights_step = PACKETS * BYTES * me.outputs;
    me.scales_step = SCALE_BYTES * me.outputs;
    return me;
}

/// Whether x has values 4 t and on of a step. f16 may end within a block.
DEVICE bool values(const Lane& me, u32 block, u32 step) {
    return block * 32 + step * 16 + me.t * 4 < me.inputs;
}

/// Sends for a block's weights. What is missing stays zero, or what it was: `end` sees to it,
/// and outputs beyond the end are not stored.
DEVICE void send_for(Packed& to, const Lane& me, u32 block) {
    constexpr u32 PLAIN = GROUPS / STREAMS; // groups of a stream; those of gates come first
    const u64 gated = me.outputs / STREAMS;
    const char* const weights = me.weights + u64(block) * me.weights_step;
    const char* const scales = me.scales + u64(block) * me.scales_step;
    EACH(j, GROUPS) {
        const u32 before = j % PLAIN * 16;
        const u64 at = j / PLAIN * gated + before;
        EACH(i, LOADS) {
            const char* from = weights + (u64(i * PACKETS / LOADS) * me.outputs + at) * BYTES;
            const bool there = values(me, block, i);
#if STORAGE == 0
            stream(to.words[j][i], from, there && before < me.weighed[0]);
#else
            EACH(h, 2) {
                stream(to.words[j][i][h], from + h * 8 * BYTES, there && before < me.weighed[h]);
            }
#endif
        }
        if (STORAGE != 0) EACH(k, OWN) {
            const char* from = scales + (at + own(me, k)) * SCALE_BYTES;
            const bool there = block * 32 < me.inputs && before < me.summed[k];
            if (STORAGE == 1) stream_half(to.scales[j][k], from, there);
            if (STORAGE == 2) stream(to.scales[j][k], from, there);
        }
    }
}

/// Makes zeros of weights where x has ended: what lies there is of an earlier block.
DEVICE void end(Packed& of, const Lane& me, u32 block) {
    if (STORAGE != 0 || block * 32 + 32 <= me.inputs) return;
    EACH(i, LOADS) EACH(j, GROUPS) EACH(k, 4) {
        if (!values(me, block, i)) of.words[j][i][k] = 0;
    }
}

/// Which two of four values are the pair i: neighbours, but in q4, where nibbles of bytes 0
/// and 2 lie 16 bits apart.
DEVICE constexpr u32 of_pair(u32 i, u32 half) {
    return STORAGE == 2 ? i + 2 * half : 2 * i + half;
}

/// Makes numbers of the weights of a group: of each output two pairs, as mma takes them. 0x6400
/// is 1024, whose last bits count ones.
DEVICE void unpack(u32 (&to)[STEPS][2][2], const u32 (&from)[LOADS][STORAGE == 0 ? 4 : 2]) {
    EACH(step, STEPS) EACH(h, 2) EACH(i, 2) {
        u32& pair = to[step][h][i];
#if STORAGE == 0
        pair = from[step][h * 2 + i];
#elif STORAGE == 1
        pair = minus(bytes(from[step][h], 0x64646464, i == 0 ? 0x4140 : 0x4342), 0x64806480);
#else
        const u32 shifted = from[0][h] >> (8 * i + 4 * step);
        pair = minus(and_or(shifted, 0x000f000f, 0x64006400), 0x64006400);
#endif
    }
}

/// Sends for a lane's share of 8 rows at a block: zeros where there are none.
DEVICE void send_for_rows(float (&to)[STEPS][32][4], const Lane& me, u32 block) {
    EACH(step, STEPS) {
        const bool there = values(me, block, step) && me.has_row;
        copy(to[step][me.lane], there ? me.x + block * 32 + step * 16 : me.x, there);
    }
    end_copies();
}

/// Loads the gains of a lane's values of a block.
DEVICE void load_gains(float (&to)[STEPS][4], const Lane& me, u32 block) {
    if (NORM) EACH(step, STEPS) {
        load(to[step], me.gain + block * 32 + step * 16, values(me, block, step));
    }
}

/// What else a row's block is.
struct Size {
    float one; // what a one stands for, once split
    float sum; // of its values
};

/// Splits a lane's values, of which the largest of the row's 32 becomes 2^14 to 2^15 ones: of a
/// power of two. `squares` becomes the sum of this lane's squares of x.
DEVICE Size split_values(Split& to, float& squares, const float (&x)[STEPS][4],
                         const float (&gain)[STEPS][4]) {
    float v[STEPS][4], sums[STEPS], most = 0;
    squares = 0;
    EACH(step, STEPS) EACH(i, 4) {
        v[step][i] = NORM ? __fmul_rn(x[step][i], gain[step][i]) : x[step][i];
        if (NORM) squares = __fmaf_rn(x[step][i], x[step][i], squares);
        most = max(most, fabsf(v[step][i]));
    }
    float sum = 0;
    if (STORAGE == 2) {
        EACH(step, STEPS) {
            const float(&four)[4] = v[step];
            sums[step] = __fadd_rn(__fadd_rn(four[0], four[1]), __fadd_rn(four[2], four[3]));
        }
        sum = __fadd_rn(sums[0], sums[1]);
    }
    for (u32 mask = 1; mask <= 2; mask *= 2) {
        most = max(most, across(most, mask));
        if (STORAGE == 2) sum = __fadd_rn(sum, across(sum, mask));
    }
    // Both powers are normal numbers, whatever the exponent.
    const u32 exponent = max(bits(most) >> 23, 15u);
    const float ones = of_bits((268 - exponent) << 23);
    EACH(step, STEPS) EACH(i, 2) {
        const float a = v[step][of_pair(i, 0)], b = v[step][of_pair(i, 1)];
        split(to.hi[step][i], to.lo[step][i], __fmul_rn(a, ones), __fmul_rn(b, ones));
    }
    return {of_bits((exponent - 14) << 23), sum};
}

/// Adds a block's product of a row and an output to their sum.
DEVICE void add(float& sum, float product, const Size& row, u32 scale) {
    if (STORAGE == 0) {
        sum = __fmaf_rn(product, row.one, sum);
    } else {
        const float2 factors = floats(scale);
        sum = __fmaf_rn(factors.x, __fmul_rn(product, row.one), sum);
        if (STORAGE == 2) sum = __fmaf_rn(factors.y, row.sum, sum);
    }
}

/// Adds up what the four lanes have that share a row.
DEVICE float of_row(float v) {
    v = __fadd_rn(v, across(v, 1));
    return __fadd_rn(v, across(v, 2));
}

/// Adds neighbours, and neighbours of these, until one is left.
template <u32 COUNT>
DEVICE float pairwise(const float (&all)[COUNT]) {
    if constexpr (COUNT == 1) {
        return all[0];
    } else {
        float half[COUNT / 2];
        EACH(i, COUNT / 2) half[i] = __fadd_rn(all[i * 2], all[i * 2 + 1]);
        return pairwise(half);
    }
}

/// What the norm multiplies a row with, of its squares' sums.
DEVICE float root(const float (&squares)[SLICES], const Sizes& sizes) {
    const float mean = __fdiv_rn(pairwise(squares), float(u32(sizes.inputs)));
    return __fdiv_rn(1, __fsqrt_rn(__fadd_rn(mean, sizes.epsilon)));
}

/// Whether there is no such row, or result of it.
DEVICE bool beyond(u32 row, u32 result, const Sizes& sizes) {
    return row >= sizes.rows || result >= sizes.outputs / STREAMS;
}

/// Stores a result of a row, whose sums are whole but for the norm.
DEVICE void store(float (&sums)[STREAMS], float root, u32 row, u32 result, const float* bias,
                  const float* residual, float* y, const Sizes& sizes) {
    if (NORM) EACH(s, STREAMS) sums[s] = __fmul_rn(sums[s], root);
    const u64 column = sizes.first + result, at = u64(row) * sizes.width + column;
    float v = sums[0];
    if (BIAS) v = __fadd_rn(v, bias[column]);
    if (GATE) v = __fmul_rn(__fdiv_rn(v, __fadd_rn(1, expf(-v))), sums[STREAMS - 1]);
    if (RESIDUAL) v = __fadd_rn(v, residual[at]);
    y[at] = v;
}
