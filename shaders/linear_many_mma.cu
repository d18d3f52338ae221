// Linear layers on tensor cores for more than 8 rows: see linear.cuh.
//
// Beside weights, rows are what such a layer reads, once for each block of threads, so a block
// makes many outputs; and what splits rows costs more than what multiplies them, so it is done
// once for all. ACROSS warps side by side make the outputs, each those of all rows; as many
// again have the other half of the slices. At each step a warp has one block of weights to
// multiply and, as far as there are rows, 8 of its half's rows to split for the others.
// The two take turns in shared memory, so that warps wait for each other once a step.
//
// Rows of x are what mma takes 16 rows of, and weights its columns.

constexpr u32 HALVES = 2;
constexpr u32 ACROSS = WARPS / HALVES;
constexpr u32 OURS = SLICES / CLUSTER;  // slices of a block of threads
constexpr u32 PART = OURS / HALVES;     // of a warp
constexpr u32 ROWS = 16 * TILES;
static_assert(TILES * 2 <= ACROSS, "a warp splits 8 rows");

/// A block of 16 rows that was split: what `fragment` reads, by step, and rows' sizes.
struct Tile {
    u32 hi[STEPS][4][32], lo[STEPS][4][32];
    Size rows[16];
};
struct Shared {
    union {
        struct {
            float rows[WARPS][STAGES][STEPS][32][4]; // Each lane's own: what it sent for.
            Tile tiles[2][HALVES][TILES];
        } x;
        float partial[HALVES][ROWS][ACROSS * SUMS + 4]; // In the end. + 4: rows avoid one bank.
    };
    float squares[OURS][ROWS];
    float roots[ROWS];
};

/// A warp's blocks, slice after slice. All slices are as long as the longest: what they have
/// beyond the last block is not there.
struct Order {
    u32 end;  // of the longest
    u32 last; // slice
    DEVICE bool ends_slice(u32 block) const { return block + SLICES >= end; }
    DEVICE u32 after(u32 block) const {
        if (!ends_slice(block)) return block + SLICES;
        return block % SLICES == last ? over() : block % SLICES + 1;
    }
    /// What comes after the last, and after itself.
    DEVICE u32 over() const { return end + last; }
};

/// Stores 8 rows, the upper or lower ones of a tile, where all warps read them.
DEVICE void share(Tile& to, u32 lower, const Lane& me, const Split& split, const Size& size) {
    EACH(step, STEPS) EACH(i, 2) {
        to.hi[step][i * 2 + lower][me.lane] = split.hi[step][i];
        to.lo[step][i * 2 + lower][me.lane] = split.lo[step][i];
    }
    to.rows[lower * 8 + me.g] = size;
}

/// A lane's sums: of tiles, groups and the two halves of these, rows g and g + 8 with two outputs.
constexpr u32 COUNT = TILES * GROUPS * 8;
using Sums = float[COUNT];
DEVICE constexpr u32 place_of(u32 tile, u32 group, u32 h) { return (tile * GROUPS + group) * 8 + h * 4; }

/// Adds the products of a block's weights and all rows. Of a tile a lane has rows g and g + 8.
DEVICE void multiply(Sums& sums, const Packed& weights, const Tile (&tiles)[TILES],
                     const Lane& me) {
    u32 pairs[GROUPS][STEPS][2][2];
    EACH(j, GROUPS) unpack(pairs[j], weights.words[j]);
    EACH(tile, TILES) {
        float part[GROUPS][2][4] = {};
        EACH(step, STEPS) {
            u32 hi[4], lo[4];
            fragment(lo, tiles[tile].lo[step], me.lane);
            fragment(hi, tiles[tile].hi[step], me.lane);
            EACH(j, GROUPS) EACH(h, 2) mma(part[j][h], lo, pairs[j][step][h]);
            EACH(j, GROUPS) EACH(h, 2) mma(part[j][h], hi, pairs[j][step][h]);
        }
        const Size rows[2] = {tiles[tile].rows[me.g], tiles[tile].rows[me.g + 8]};
        EACH(j, GROUPS) EACH(h, 2) EACH(i, 4) {
            float& sum = sums[place_of(tile, j, h) + i];
            add(sum, part[j][h][i], rows[i / 2], weights.scales[j][h * 2 + i % 2]);
        }
    }
}

/// Adds a slice's sums, of number `at` of a warp's, to those of the slices before it: to the
/// last level in the end.
DEVICE void fold(Sums& sums, Sums (&levels)[PART > 2 ? 2 : 1], u32 at) {
    Sums &low = levels[0], &high = levels[PART > 2];
    if (at % 2 == 0) {
        EACH(i, COUNT) low[i] = sums[i];
    } else if (at == 1) {
        EACH(i, COUNT) high[i] = __fadd_rn(low[i], sums[i]);
    } else {
        EACH(i, COUNT) high[i] = __fadd_rn(high[i], __fadd_rn(low[i], sums[i]));
    }
    EACH(i, COUNT) sums[i] = 0;
}

extern "C" __global__ void __launch_bounds__(256, RESIDENT) IN_CLUSTERS
    KERNEL(const float* x, const float* gain, const u32* weights, const u16* scales,
           const float* bias, const float* residual, float* y,
           const __grid_constant__ Sizes sizes) {
    SHARED_BY_CLUSTER(Shared, shared);
    const u32 warp = of_lane(threadIdx.y, 0), half = warp / ACROSS, place = warp % ACROSS;
    const u32 first_row = blockIdx.x * ROWS, first_result = blockIdx.y * ACROSS * RESULTS;
    const u32 first_slice = blockIdx.z * OURS + half * PART;
    const Lane me = enter(x, gain, weights, scales, sizes, first_row + place * 8,
                          first_result + place * RESULTS);
    const bool splits = place < TILES * 2;
    const u32 blocks = (me.inputs + 31) / 32;
    const Order order = {(blocks + SLICES - 1) / SLICES * SLICES, first_slice + PART - 1};

    u32 block = first_slice, sent = block;
    Packed coming[STAGES] = {};
    auto& rows = shared.x.rows[warp];
    EACH(i, STAGES) {
        send_for(coming[i], me, sent);
        if (splits) send_for_rows(rows[i], me, sent);
        sent = order.after(sent);
    }
    float gains[STEPS][4] = {};
    if (splits) load_gains(gains, me, block);

    Sums sums = {}, levels[PART > 2 ? 2 : 1];
    float squares = 0;
    for (u32 turn = 0; block != order.over();) {
        EACH(i, STAGES) {
            if (block == order.over()) break;
            const u32 next = order.after(block);
            auto& tiles = shared.x.tiles[turn][half];
            if (splits) {
                wait_for_copies<STAGES - 1>();
                float values[STEPS][4], more;
                EACH(step, STEPS) EACH(k, 4) values[step][k] = rows[i][step][me.lane][k];
                Split ours;
                const Size size = split_values(ours, more, values, gains);
                share(tiles[place / 2], place % 2, me, ours, size);
                if (NORM) squares = __fadd_rn(squares, more);
                send_for_rows(rows[i], me, sent);
                load_gains(gains, me, next);
            }
            __syncthreads(); // Rows are there, and those of the step before are done with.
            if (block < blocks) {
                end(coming[i], me, block);
                multiply(sums, coming[i], tiles, me);
            }
            // No earlier: what is overwritten in use would be copied, and waited for.
            send_for(coming[i], me, sent);
            if (order.ends_slice(block)) {
                fold(sums, levels, block % PART);
                if (NORM && splits) {
                    shared.squares[block % OURS][place * 8 + me.g] = of_row(squares);
                    squares = 0;
                }
            }
            sent = order.after(sent);
            block = next;
            turn ^= 1;
        }
    }
    wait_for_copies<0>();
    __syncthreads(); // Sums take the place of x.
    EACH(tile, TILES) EACH(j, GROUPS) EACH(h, 2) EACH(k, 4) {
        const u32 column = place * SUMS + j * 16 + own(me, h * 2 + k % 2);
        shared.partial[half][tile * 16 + me.g + k / 2 * 8][column] =
            levels[PART > 2][place_of(tile, j, h) + k];
    }
    sync_cluster();

    const u32 thread = warp * 32 + me.lane;
    if (NORM && thread < ROWS) {
        float all[SLICES];
        EACH(s, SLICES) all[s] = of_block(shared, shared.squares[s % OURS][thread], s / OURS);
        shared.roots[thread] = root(all, sizes);
    }
    __syncthreads();
    constexpr u32 ALL = ROWS * ACROSS * RESULTS;
    for (u32 i = blockIdx.z * WARPS * 32 + thread; i < ALL; i += CLUSTER * WARPS * 32) {
        const u32 row = i / (ACROSS * RESULTS), result = i % (ACROSS * RESULTS);
        if (beyond(first_row + row, first_result + result, sizes)) continue;
        float whole[STREAMS];
        EACH(s, STREAMS) {
            const u32 column = result / RESULTS * SUMS + s * RESULTS + result % RESULTS;
            float parts[CLUSTER * HALVES];
            EACH(p, CLUSTER * HALVES) {
                const float& ours = shared.partial[p % HALVES][row][column];
                parts[p] = of_block(shared, ours, p / HALVES);
            }
            whole[s] = pairwise(parts);
        }
        store(whole, NORM ? shared.roots[row] : 1, first_row + row, first_result + result, bias,
              residual, y, sizes);
    }
    leave_cluster(); // Others have read what is here.
}
