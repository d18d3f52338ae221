use half::f16;

use super::*;

fn view<'a>(shape: &[usize], format: BlockFormat, bytes: &'a [u8]) -> TensorView<'a> {
    TensorView {
        name: "w".into(),
        shape: shape.into(),
        format,
        bytes: Cow::Borrowed(bytes),
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn new<'a>(
    shape: &[usize],
    format: BlockFormat,
    bytes: &'a [u8],
    dtype: Dtype,
) -> Result<Matrix<'a>> {
    Matrix::new(Path::new("m.gguf"), view(shape, format, bytes), dtype)
}

fn message(shape: &[usize], format: BlockFormat, bytes: &[u8], dtype: Dtype) -> String {
    new(shape, format, bytes, dtype).unwrap_err().to_string()
}

#[test]
fn the_same_layout_is_borrowed() {
    for dtype in Dtype::ALL {
        let bytes = vec![0; dtype.layout().bytes_for(3 * 64).unwrap()];
        let matrix = new(&[3, 64], dtype.layout(), &bytes, dtype).unwrap();
        assert!(matches!(matrix.bytes, Cow::Borrowed(_)), "{dtype}");
        assert_eq!((matrix.rows, matrix.cols), (3, 64));
        assert_eq!(matrix.to_f32(), vec![0.0; 192]);
    }
}

#[test]
fn every_format_reaches_every_layout() {
    // Half-precision 1.0 wherever a format may look for a scale.
    for format in BlockFormat::ALL {
        let size = format.bytes_for(2 * 256).unwrap();
        let bytes: Vec<u8> = if format == BlockFormat::F32 {
            floats(&[1.0; 512])
        } else {
            [0x00, 0x3C].repeat(size / 2)
        };
        let exact = new(&[2, 256], format, &bytes, Dtype::F32).unwrap().to_f32();
        let largest = exact.iter().fold(0f32, |most, value| most.max(value.abs()));
        for dtype in Dtype::ALL {
            let matrix = new(&[2, 256], format, &bytes, dtype).unwrap();
            assert_eq!(Some(matrix.bytes.len()), dtype.layout().bytes_for(512));
            for (exact, value) in exact.iter().zip(matrix.to_f32()) {
                let error = (exact - value).abs();
                assert!(
                    error <= largest / 10.0,
                    "{format} to {dtype}: {exact} became {value}"
                );
            }
        }
    }
}

#[test]
fn q4_0_becomes_q4_exactly() {
    let bytes = [
        &f16::from_f32(-0.3).to_le_bytes()[..],
        &[0x0F, 0x7A].repeat(8),
    ]
    .concat();
    let as_q4 = new(&[1, 32], BlockFormat::Q4_0, &bytes, Dtype::Q4).unwrap();
    let as_f32 = new(&[1, 32], BlockFormat::Q4_0, &bytes, Dtype::F32).unwrap();
    assert_eq!(as_q4.to_f32(), as_f32.to_f32());

    let bytes = [&f16::from_f32(9000.0).to_le_bytes()[..], &[0x88; 16]].concat();
    let message = message(&[1, 32], BlockFormat::Q4_0, &bytes, Dtype::Q4);
    assert!(message.contains("half-precision range of q4"), "{message}");
}

#[test]
fn a_vector_is_one_row() {
    let bytes = floats(&[1.0, 2.0, 3.0]);
    let matrix = new(&[3], BlockFormat::F32, &bytes, Dtype::F16).unwrap();
    assert_eq!((matrix.rows, matrix.cols), (1, 3));
    assert_eq!(matrix.to_f32(), [1.0, 2.0, 3.0]);
}

#[test]
fn values_that_are_not_finite_are_named() {
    let mut values = [0.5; 4 * 32];
    values[3 * 32 + 5] = f32::NAN;
    for dtype in Dtype::ALL {
        assert_eq!(
            message(&[4, 32], BlockFormat::F32, &floats(&values), dtype),
            "m.gguf: tensor `w`: expected finite values, found NaN at row 3, column 5"
        );
    }
    let mut q4 = vec![0; 2 * 40];
    q4[60 + 3] = 0x7C; // m of row 1, block 1: infinite
    let message = message(&[2, 64], BlockFormat::Q4_1, &q4, Dtype::Q4);
    assert!(
        message.ends_with("found inf at row 1, column 32"),
        "{message}"
    );
}

#[test]
fn broken_scales_are_found_in_every_format() {
    for format in BlockFormat::ALL {
        // All ones is NaN in every float and infinite-or-NaN in every half-precision scale.
        let bytes = vec![0xFF; format.block_bytes() * 256 / format.block_len()];
        for dtype in Dtype::ALL {
            let message = message(&[256], format, &bytes, dtype);
            assert!(
                message.contains("finite values, found NaN at row 0, column 0"),
                "{message}"
            );
        }
    }
}

#[test]
fn values_beyond_half_precision_are_named() {
    let mut values = [1.0; 64];
    values[40] = 1e6;
    assert_eq!(
        message(&[2, 32], BlockFormat::F32, &floats(&values), Dtype::F16),
        "m.gguf: tensor `w`: expected values within the half-precision range of f16, \
         found 1000000 at row 1, column 8"
    );
    values[40] = 1e9;
    for dtype in [Dtype::Q8, Dtype::Q4] {
        let message = message(&[2, 32], BlockFormat::F32, &floats(&values), dtype);
        assert!(
            message.ends_with("found 1000000000 at row 1, column 8"),
            "{message}"
        );
    }
}

#[test]
fn shapes_that_do_not_fit() {
    let bytes = floats(&[0.0; 60]);
    let blocks = message(&[2, 30], BlockFormat::F32, &bytes, Dtype::Q4);
    assert!(blocks.ends_with("expected rows of a multiple of 32 values for q4, found [2, 30]"));
    let dims = message(&[2, 3, 10], BlockFormat::F32, &bytes, Dtype::F32);
    assert!(dims.ends_with("expected a matrix or a vector, found shape [2, 3, 10]"));
    let empty = message(&[0, 10], BlockFormat::F32, &[], Dtype::F32);
    assert!(empty.ends_with("found shape [0, 10]"));
    let short = message(&[2, 31], BlockFormat::F32, &bytes, Dtype::F32);
    assert!(short.ends_with("expected 124 bytes a row of [2, 31] in F32, found 240 bytes in all"));
    // The blocks fit the tensor as a whole but not its rows.
    let rows = message(&[2, 16], BlockFormat::Q4_1, &[0; 20], Dtype::F32);
    assert!(rows.contains("rows of a multiple of 32 values in Q4_1"));
}
