// Linear layers on tensor cores for one row, and for up to 8: see linear.cuh.
//
// Such a layer waits for memory, so all is arranged to read weights once, and early. Each of
// the eight warps makes a slice, in registers, of all rows and outputs of its block of threads.
// While a block is multiplied, the weights of the next ones and the next rows are underway.
// Weights go from memory to the lanes that multiply them, and warps never wait for each other.

/// Weights are what mma takes 16 rows of, and rows of x its columns, of which 8 are enough.
/// A lane has sums of its two outputs and rows 2 t and 2 t + 1.
constexpr u32 ROWS = SINGLE ? 1 : 2;

/// What warps have of x in shared memory. Of several rows, each lane what it sent for: their
/// next blocks. Of one row, which all lanes share: the next blocks, split.
constexpr u32 AHEAD = SINGLE ? 8 : 4; // blocks
union Shared {
    float rows[WARPS][SINGLE ? 1 : AHEAD][STEPS][32][4];
    struct {
        u32 values[AHEAD][STEPS][4][4];
        float one[AHEAD], sum[AHEAD];
    } row[WARPS];
    float partial[SLICES][8][SUMS + 8]; // In the end: sums. + 8: rows avoid one bank.
};

/// Loads a lane's share of the one row at a block: zeros where it has ended.
DEVICE void load_row(float (&to)[STEPS][4], const Lane& me, u32 block) {
    EACH(step, STEPS) {
        EACH(i, 4) to[step][i] = 0;
        load(to[step], me.x + block * 32 + step * 16, values(me, block, step));
    }
}

/// Adds the products of a group's weights of a block and the rows.
DEVICE void multiply(float (&sums)[2][ROWS], const Packed& weights, u32 group, const Split& b,
                     const Size (&sizes)[ROWS]) {
    u32 pairs[STEPS][2][2];
    unpack(pairs, weights.words[group]);
    float part[4] = {};
    EACH(step, STEPS) {
        const u32 a[4] = {pairs[step][0][0], pairs[step][1][0], pairs[step][0][1], pairs[step][1][1]};
        mma(part, a, b.lo[step]);
        mma(part, a, b.hi[step]);
    }
    EACH(h, 2) EACH(i, ROWS) {
        add(sums[h][i], part[h * 2 + i], sizes[i], weights.scales[group][h]);
    }
}

extern "C" __global__ void __launch_bounds__(256, RESIDENT)
    KERNEL(const float* x, const float* gain, const u32* weights, const u16* scales,
           const float* bias, const float* residual, float* y,
           const __grid_constant__ Sizes sizes) {
    alignas(16) __shared__ Shared shared;
    __shared__ float squared[SLICES][8];
    const u32 first_row = blockIdx.x * 8, first_result = blockIdx.y * RESULTS;
    const Lane me = enter(x, gain, weights, scales, sizes, first_row, first_result);
    Packed coming[STAGES] = {};
    EACH(i, STAGES) send_for(coming[i], me, me.warp + i * SLICES);
    float gains[STEPS][4] = {};
#if SINGLE // Lanes that would have other rows take blocks further on.
    auto& row = shared.row[me.warp];
    float next[STEPS][4];
    const u32 further = me.g * SLICES;
    load_row(next, me, me.warp + further);
    load_gains(gains, me, me.warp + further);
#else
    auto& rows_ahead = shared.rows[me.warp];
    EACH(i, AHEAD) send_for_rows(rows_ahead[i], me, me.warp + i * SLICES);
    load_gains(gains, me, me.warp);
#endif

    float sums[GROUPS][2][ROWS] = {}, squares = 0;
    for (u32 round = me.warp, number = 0; round * 32 < me.inputs; round += SLICES * STAGES) {
        EACH(i, STAGES) {
            const u32 block = round + i * SLICES;
            if (block * 32 >= me.inputs) break;
            Split b;
            Size of_rows[ROWS];
            float more;
#if SINGLE
            if (number % AHEAD == 0) {
                const Size ours = split_values(b, more, next, gains);
                sync_warp(); // All are done with the blocks before.
                EACH(step, STEPS) EACH(i, 2) {
                    row.values[me.g][step][me.t][i] = b.hi[step][i];
                    row.values[me.g][step][me.t][2 + i] = b.lo[step][i];
                }
                row.one[me.g] = ours.one;
                if (STORAGE == 2) row.sum[me.g] = ours.sum;
                if (NORM) EACH(k, AHEAD) {
                    squares = __fadd_rn(squares, of_lane(more, k * 4 + me.t));
                }
                sync_warp();
                load_row(next, me, block + AHEAD * SLICES + further);
                load_gains(gains, me, block + AHEAD * SLICES + further);
            }
            EACH(step, STEPS) EACH(i, 2) {
                b.hi[step][i] = row.values[number % AHEAD][step][me.t][i];
                b.lo[step][i] = row.values[number % AHEAD][step][me.t][2 + i];
            }
            of_rows[0].one = row.one[number % AHEAD];
            if (STORAGE == 2) of_rows[0].sum = row.sum[number % AHEAD];
#else
            wait_for_copies<AHEAD - 1>();
            auto& here = rows_ahead[number % AHEAD];
            float x[STEPS][4];
            EACH(step, STEPS) EACH(i, 4) x[step][i] = here[step][me.lane][i];
            const Size ours = split_values(b, more, x, gains);
            EACH(i, 2) of_rows[i].one = of_lane(ours.one, (me.t * 2 + i) * 4);
            if (STORAGE == 2) EACH(i, 2) of_rows[i].sum = of_lane(ours.sum, (me.t * 2 + i) * 4);
            if (NORM) squares = __fadd_rn(squares, more);
            send_for_rows(here, me, block + AHEAD * SLICES);
            load_gains(gains, me, block + SLICES);
#endif
            number++;
            end(coming[i], me, block);
            EACH(j, GROUPS) multiply(sums[j], coming[i], j, b, of_rows);
            // No earlier: what is overwritten in use would be copied, and waited for.
            send_for(coming[i], me, block + SLICES * STAGES);
        }
    }
    wait_for_copies<0>(); // Sums take their place.

    if (NORM) squared[me.warp][me.g] = of_row(squares);
    __syncthreads(); // x is done with.
    EACH(j, GROUPS) EACH(h, 2) EACH(i, ROWS) {
        shared.partial[me.warp][me.t * 2 + i][j * 16 + own(me, h)] = sums[j][h][i];
    }
    __syncthreads();
    for (u32 i = me.warp * 32 + me.lane; i < 8 * RESULTS; i += WARPS * 32) {
        const u32 row = i / RESULTS, result = i % RESULTS;
        if (beyond(first_row + row, first_result + result, sizes)) continue;
        float whole[STREAMS], squares[SLICES], factor = 1;
        EACH(s, STREAMS) {
            float slices[SLICES];
            EACH(at, SLICES) slices[at] = shared.partial[at][row][s * RESULTS + result];
            whole[s] = pairwise(slices);
        }
        if (NORM) {
            EACH(at, SLICES) squares[at] = squared[at][row];
            factor = root(squares, sizes);
        }
        store(whole, factor, first_row + row, first_result + result, bias, residual, y, sizes);
    }
}
