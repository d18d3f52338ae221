// Linear layers on tensor cores: y = x W^T for up to a few dozen rows, with what surrounds
// it in a transformer, in one launch. For NVIDIA GPUs of compute capability 8.0 and later.
//
// Compiled when a program runs, once for each variant; lines before this text say which,
// and mma.cuh:
//   KERNEL    the name of the entry
//   STORAGE   0: f16 numbers, 1: q8, 2: q4, in packets as backends/src/cube/decode.rs says
//   SINGLE    0 or 1: whether there is one row only
//   TILES     tiles of 8 rows that a block of threads takes on: 1 to 4
//   GROUPS    groups of 16 sums that it makes for each row: 1, 2 or 4, even where gated
//   STAGES    blocks of weights that are on their way to each warp
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
// Grid: [tiles of 8 TILES rows, groups of RESULTS results]. Block: [32, 8].
//
// Such a layer waits for memory, so all is arranged to read weights once, and early. Eight
// warps share k: warp s takes the blocks of 32 values s, s + 8, ... and has sums of its own
// for all rows and outputs, in registers; in the end the eight are added in the order of s.
// While a block is multiplied, the weights of the next ones and the next rows are underway.
// Weights go from memory to the lanes that multiply them, and warps never wait for each other.
//
// Weights are what mma takes 16 rows of, and rows of x its columns, of which 8 are enough.
// Weights are exact in f16, quantised ones as integers, whose scale is applied to a block's
// sum. x times gain is brought to the size of f16, each row of a block by a power of two of
// its own, and split in two; the norm's factor, which is the row's, comes last.
//
// A row's result does not depend, to the bit, on the rows beside it, on its place among
// them, or on SINGLE, TILES, GROUPS and STAGES. None of these enters the order of a sum, and
// operations that a compiler might fuse, or might not, are spelled out.

struct Sizes {
    u64 rows, inputs; // of x
    u64 outputs;      // of this part of the weight
    u64 first, width; // where they begin among the columns of the result; all of those
    float epsilon;    // added to the mean square by the norm
    u32 unused;
};

constexpr u32 WARPS = 8;
constexpr u32 STEPS = 2;              // of 16 values, in a block of 32
constexpr u32 STREAMS = GATE ? 2 : 1; // gates and what they gate
constexpr u32 SUMS = 16 * GROUPS;     // of a row, in a block of threads
constexpr u32 RESULTS = SUMS / STREAMS;
constexpr u32 COLUMNS = SINGLE ? 1 : 2; // rows whose sums a lane has of a tile
constexpr u32 PACKETS = STORAGE == 0 ? 8 : STORAGE == 1 ? 2 : 1; // of a block
constexpr u32 BYTES = STORAGE == 0 ? 8 : 16;                     // of a packet
constexpr u32 LOADS = STORAGE == 2 ? 1 : 2; // of an output, by a lane, in a block
constexpr u32 SCALE_BYTES = STORAGE == 2 ? 4 : 2;

/// A lane's share of a block's weights: of two outputs of each group the values 4 t to
/// 4 t + 3 of both steps. Outputs are g and g + 8; in f16 2 g and 2 g + 1, which lie together.
struct Packed {
    u32 words[GROUPS][LOADS][STORAGE == 0 ? 4 : 2];
    u32 scales[GROUPS][2];
};

/// A lane's share of 8 rows of x as mma takes it: of row g those same values. And of rows 2 t
/// and 2 t + 1 what a one stands for, and the sums of the block's values in those.
struct Split {
    u32 hi[STEPS][2], lo[STEPS][2];
    float one[2], sum[2];
};

/// Who this is, and where its share lies.
struct Lane {
    u32 warp, lane, g, t;
    u32 inputs, outputs;
    u32 rows;            // from g on
    u32 results[2];      // from this lane's two of the first group on
    const float *x, *gain; // of row g, from value 4 t on
    const char *weights, *scales; // of the block that is sent for next
    u32 weights_step, scales_step; // to the one after it
};

/// Whether x has values 4 t and on of a step. f16 may end within a block.
DEVICE bool values(const Lane& me, u32 block, u32 step) {
    return block * 32 + step * 16 + me.t * 4 < me.inputs;
}

/// Sends for a block's weights. What is missing stays zero, or what it was: `end` sees to it,
/// and outputs beyond the end are not stored.
DEVICE void send_for(Packed& to, Lane& me, u32 block) {
    constexpr u32 OWN = GROUPS / STREAMS; // groups of a stream; those of gates come first
    const u64 gated = me.outputs / STREAMS;
    EACH(j, GROUPS) {
        const u64 output = j / OWN * gated + j % OWN * 16;
        EACH(i, LOADS) {
            const char* at = me.weights + (u64(i * PACKETS / LOADS) * me.outputs + output) * BYTES;
            const bool there = values(me, block, i);
#if STORAGE == 0
            stream(to.words[j][i], at, there && j % OWN * 16 < me.results[0]);
#else
            EACH(h, 2) {
                const bool ours = there && j % OWN * 16 < me.results[h];
                stream(to.words[j][i][h], at + h * 8 * BYTES, ours);
            }
#endif
        }
        if (STORAGE != 0) EACH(h, 2) {
            const char* at = me.scales + (output + h * 8) * SCALE_BYTES;
            const bool ours = values(me, block, 0) && j % OWN * 16 < me.results[h];
            if (STORAGE == 1) stream_half(to.scales[j][h], at, ours);
            if (STORAGE == 2) stream(to.scales[j][h], at, ours);
        }
    }
    me.weights += me.weights_step;
    me.scales += me.scales_step;
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

/// Makes numbers of a group's weights, as mma takes them. 0x6400 is 1024, whose last bits
/// count ones.
DEVICE void unpack(u32 (&to)[STEPS][4], const u32 (&from)[LOADS][STORAGE == 0 ? 4 : 2]) {
    EACH(step, STEPS) EACH(h, 2) EACH(i, 2) {
        u32& pair = to[step][h + 2 * i];
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

/// What warps have of x in shared memory. Of several rows, each lane what it sent for: their
/// next blocks. Of one row, which all lanes share: the next blocks, split.
constexpr u32 AHEAD = SINGLE ? 8 : TILES < 3 ? 4 / TILES : 1; // blocks
union Shared {
    float rows[WARPS][SINGLE ? 1 : AHEAD][TILES][STEPS][32][4];
    struct {
        u32 values[AHEAD][STEPS][4][4];
        float one[AHEAD], sum[AHEAD];
    } row[WARPS];
    float partial[WARPS][8][SUMS + 8]; // In the end: sums. + 8: rows avoid one bank.
};

/// Sends for a lane's share of the rows at a block: zeros where there are none.
DEVICE void send_for_rows(float (&to)[TILES][STEPS][32][4], const Lane& me, u32 block) {
    EACH(tile, TILES) EACH(step, STEPS) {
        const float* at = me.x + u64(tile * 8) * me.inputs + block * 32 + step * 16;
        const bool there = values(me, block, step) && tile * 8 < me.rows;
        copy(to[tile][step][me.lane], there ? at : me.x, there);
    }
    end_copies();
}

/// Loads a lane's share of the one row at a block: zeros where it has ended.
DEVICE void load_row(float (&to)[STEPS][4], const Lane& me, u32 block) {
    EACH(step, STEPS) {
        EACH(i, 4) to[step][i] = 0;
        load(to[step], me.x + block * 32 + step * 16, values(me, block, step));
    }
}

DEVICE void load_gains(float (&to)[STEPS][4], const Lane& me, u32 block) {
    if (NORM) EACH(step, STEPS) {
        load(to[step], me.gain + block * 32 + step * 16, values(me, block, step));
    }
}

/// What else a row's block is.
struct Size {
    float one; // what a one stands for, once split
    float sum, squares; // of its values; of x, this lane's
};

/// Splits a lane's values, of which the largest of the row's 32 becomes 2^14 to 2^15 ones: of a
/// power of two.
DEVICE Size split_values(Split& to, const float (&x)[STEPS][4], const float (&gain)[STEPS][4]) {
    float v[STEPS][4], sums[STEPS], squares = 0, most = 0;
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
    return {of_bits((exponent - 14) << 23), sum, squares};
}

/// Adds the products of a group's weights of a block and all rows, tile beside tile: a tensor
/// core takes up another sum while it is at one.
DEVICE void multiply(float (&sums)[TILES][GROUPS][4], u32 group, const u32 (&a)[STEPS][4],
                     const Split (&b)[TILES], const u32 (&scales)[2]) {
    float part[TILES][4] = {};
    EACH(step, STEPS) {
        EACH(tile, TILES) mma(part[tile], a[step], b[tile].lo[step]);
        EACH(tile, TILES) mma(part[tile], a[step], b[tile].hi[step]);
    }
    EACH(h, 2) {
        const float2 factors = STORAGE == 0 ? float2{1, 0} : floats(scales[h]);
        EACH(tile, TILES) EACH(i, COLUMNS) {
            const float product = __fmul_rn(part[tile][h * 2 + i], b[tile].one[i]);
            float& sum = sums[tile][group][h * 2 + i];
            if (STORAGE == 0) sum = __fadd_rn(product, sum);
            if (STORAGE != 0) sum = __fmaf_rn(factors.x, product, sum);
            if (STORAGE == 2) sum = __fmaf_rn(factors.y, b[tile].sum[i], sum);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, RESIDENT)
    KERNEL(const float* x, const float* gain, const u32* weights, const u16* scales,
           const float* bias, const float* residual, float* y,
           const __grid_constant__ Sizes sizes) {
    alignas(16) __shared__ Shared shared;
    __shared__ float squared[WARPS][8 * TILES];
    const u32 first_row = blockIdx.x * 8 * TILES, first_result = blockIdx.y * RESULTS;
    const u32 rows = min(u32(sizes.rows) - first_row, 8u * TILES);
    Lane me;
    me.warp = of_lane(threadIdx.y, 0); // So that a compiler knows that all have the same.
    me.lane = threadIdx.x;
    me.g = me.lane / 4;
    me.t = me.lane % 4;
    me.inputs = sizes.inputs;
    me.outputs = sizes.outputs;
    const u32 results = me.outputs / STREAMS;
    const auto output = [&](u32 h) { return STORAGE == 0 ? me.g * 2 + h : me.g + h * 8; };
    EACH(h, 2) me.results[h] = max(results, first_result + output(h)) - first_result - output(h);
    me.rows = max(rows, me.g) - me.g;
    me.x = x + u64(first_row + (SINGLE ? 0 : me.g)) * me.inputs + me.t * 4;
    me.gain = gain + me.t * 4;
    const u64 packet = me.warp * PACKETS + (STORAGE == 0 ? me.t : 0);
    me.weights = reinterpret_cast<const char*>(weights) +
                 (packet * me.outputs + first_result + output(0)) * BYTES +
                 (STORAGE == 0 ? 0 : me.t * 4);
    me.scales = reinterpret_cast<const char*>(scales) +
                (u64(me.warp) * me.outputs + first_result + output(0)) * SCALE_BYTES;
    me.weights_step = WARPS * PACKETS * BYTES * me.outputs;
    me.scales_step = WARPS * SCALE_BYTES * me.outputs;

    Packed coming[STAGES] = {};
    EACH(i, STAGES) send_for(coming[i], me, me.warp + i * WARPS);
    float gains[STEPS][4] = {};
#if SINGLE // Lanes that would have other rows take blocks further on.
    auto& row = shared.row[me.warp];
    float next[STEPS][4];
    const u32 further = me.g * WARPS;
    load_row(next, me, me.warp + further);
    load_gains(gains, me, me.warp + further);
#else
    auto& rows_ahead = shared.rows[me.warp];
    EACH(i, AHEAD) send_for_rows(rows_ahead[i], me, me.warp + i * WARPS);
    load_gains(gains, me, me.warp);
#endif

    float sums[TILES][GROUPS][4] = {}, squares[TILES] = {};
    for (u32 round = me.warp, number = 0; round * 32 < me.inputs; round += WARPS * STAGES) {
        EACH(i, STAGES) {
            const u32 block = round + i * WARPS;
            if (block * 32 >= me.inputs) break;
            Split b[TILES];
#if SINGLE
            if (number % AHEAD == 0) {
                const Size ours = split_values(b[0], next, gains);
                sync_warp(); // All are done with the blocks before.
                EACH(step, STEPS) EACH(i, 2) {
                    row.values[me.g][step][me.t][i] = b[0].hi[step][i];
                    row.values[me.g][step][me.t][2 + i] = b[0].lo[step][i];
                }
                row.one[me.g] = ours.one;
                if (STORAGE == 2) row.sum[me.g] = ours.sum;
                if (NORM) EACH(k, AHEAD) {
                    squares[0] = __fadd_rn(squares[0], of_lane(ours.squares, k * 4 + me.t));
                }
                sync_warp();
                load_row(next, me, block + AHEAD * WARPS + further);
                load_gains(gains, me, block + AHEAD * WARPS + further);
            }
            EACH(step, STEPS) EACH(i, 2) {
                b[0].hi[step][i] = row.values[number % AHEAD][step][me.t][i];
                b[0].lo[step][i] = row.values[number % AHEAD][step][me.t][2 + i];
            }
            b[0].one[0] = row.one[number % AHEAD];
            if (STORAGE == 2) b[0].sum[0] = row.sum[number % AHEAD];
#else
            wait_for_copies<AHEAD - 1>();
            auto& here = rows_ahead[number % AHEAD];
            EACH(tile, TILES) {
                float x[STEPS][4];
                EACH(step, STEPS) EACH(i, 4) x[step][i] = here[tile][step][me.lane][i];
                const Size ours = split_values(b[tile], x, gains);
                EACH(i, 2) b[tile].one[i] = of_lane(ours.one, (me.t * 2 + i) * 4);
                if (STORAGE == 2) EACH(i, 2) b[tile].sum[i] = of_lane(ours.sum, (me.t * 2 + i) * 4);
                if (NORM) squares[tile] = __fadd_rn(squares[tile], ours.squares);
            }
            send_for_rows(here, me, block + AHEAD * WARPS);
            load_gains(gains, me, block + WARPS);
#endif
            number++;
            end(coming[i], me, block);
            EACH(j, GROUPS) {
                u32 a[STEPS][4];
                unpack(a, coming[i].words[j]);
                multiply(sums, j, a, b, coming[i].scales[j]);
            }
            // No earlier: what is overwritten in use would be copied, and waited for.
            send_for(coming[i], me, block + WARPS * STAGES);
        }
    }
    wait_for_copies<0>(); // Sums take their place.

    EACH(tile, TILES) {
        if (NORM) {
            squares[tile] = __fadd_rn(squares[tile], across(squares[tile], 1));
            squares[tile] = __fadd_rn(squares[tile], across(squares[tile], 2));
            squared[me.warp][tile * 8 + me.g] = squares[tile];
        }
        __syncthreads(); // The tile before is done with, or x.
        EACH(j, GROUPS) EACH(h, 2) EACH(i, COLUMNS) {
            shared.partial[me.warp][me.t * 2 + i][j * 16 + output(h)] = sums[tile][j][h * 2 + i];
        }
        __syncthreads();
        for (u32 i = me.warp * 32 + me.lane; i < 8 * RESULTS; i += WARPS * 32) {
            const u32 row = i / RESULTS, result = i % RESULTS;
            if (tile * 8 + row >= rows || first_result + result >= results) continue;
            float root = 1;
            if (NORM) {
                float sum = 0;
                EACH(warp, WARPS) sum = __fadd_rn(sum, squared[warp][tile * 8 + row]);
                const float mean = __fdiv_rn(sum, float(me.inputs));
                root = __fdiv_rn(1, __fsqrt_rn(__fadd_rn(mean, sizes.epsilon)));
            }
            float total[STREAMS];
            EACH(s, STREAMS) {
                total[s] = shared.partial[0][row][s * RESULTS + result];
                EACH(warp, WARPS - 1) {
                    const float more = shared.partial[warp + 1][row][s * RESULTS + result];
                    total[s] = __fadd_rn(total[s], more);
                }
                if (NORM) total[s] = __fmul_rn(total[s], root);
            }
            const u64 column = sizes.first + first_result + result;
            const u64 at = (first_row + tile * 8 + row) * sizes.width + column;
            float v = total[0];
            if (BIAS) v = __fadd_rn(v, bias[column]);
            if (GATE) v = __fmul_rn(__fdiv_rn(v, __fadd_rn(1, expf(-v))), total[STREAMS - 1]);
            if (RESIDUAL) v = __fadd_rn(v, residual[at]);
            y[at] = v;
        }
    }
}
