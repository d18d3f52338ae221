//! Browsers link no reference bodies: burn's own operations, for every device that a module
//! knows, are twice what a page should download. What no kernel covers is an error there.

use burn::tensor::{Device, Tensor};

use super::{Dice, HeadNorms, Heads, KvLayer, Level, Linear, Norm, Ops, Rotary, Rows, Weight};
use crate::error::{Error, Result};
use crate::sample::Pick;
use crate::weights::Matrix;

/// [`Ops`] that override nothing: here, operations that all fail.
pub struct Reference(pub Device);

impl Ops for Reference {
    fn device(&self) -> &Device {
        &self.0
    }
}

fn absent<T>() -> Result<T> {
    let what = "this model's shapes have no kernel here: take another device, or another model";
    Err(Error::Device(what.into()))
}

pub(super) fn pack(_: &Device, _: &[Matrix<'_>]) -> Result<Weight> {
    absent()
}

pub(super) fn embed(_: &Weight, _: &[u32]) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn select(_: &Tensor<2>, _: &[u32]) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn concat(_: &[Tensor<2>], _: usize) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn norm(_: &Tensor<2>, _: &Norm) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn norm_linear(_: &Tensor<2>, _: Option<&Norm>, _: &Linear) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn linear_add(_: &Tensor<2>, _: &Linear, _: Tensor<2>) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn norm_gate_up(_: &Tensor<2>, _: &Norm, _: &Weight) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn rotate_and_cache(
    _: Tensor<2>,
    _: Heads,
    _: &Rotary,
    _: Option<&HeadNorms>,
    _: &mut KvLayer,
    _: &Rows<'_>,
) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn path_attention(
    _: &Tensor<2>,
    _: Heads,
    _: &KvLayer,
    _: &Rows<'_>,
) -> Result<Tensor<2>> {
    absent()
}

pub(super) async fn argmax(_: &Tensor<2>) -> Result<Vec<Option<u32>>> {
    absent()
}

pub(super) async fn draw(_: &Tensor<2>, _: &Dice) -> Result<Vec<Option<Pick>>> {
    absent()
}

pub(super) async fn read(_: Tensor<2>) -> Result<Vec<f32>> {
    absent()
}

pub(super) fn candidates(_: &Tensor<2>, _: usize) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn frontier(_: &Tensor<2>, _: Option<&Tensor<2>>) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn descend(
    _: &Level<'_>,
    _: &Tensor<2>,
    _: Option<&Tensor<2>>,
    _: &mut Rows<'_>,
) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn rank(_: &Tensor<2>, _: Option<&Tensor<2>>) -> Result<Tensor<2>> {
    absent()
}

pub(super) fn settle(_: &Tensor<2>, _: &mut Rows<'_>) -> Result<()> {
    absent()
}

pub(super) async fn draw_settled<O: Ops + ?Sized>(
    _: &O,
    _: &Tensor<2>,
    _: Option<&Dice>,
    _: &Tensor<2>,
) -> Result<(Vec<Option<Pick>>, Vec<f32>)> {
    absent()
}
