//! Training of EAGLE-1 heads, which EAGLE-2 drafts with too.

use std::sync::Arc;

use burn::tensor::{ElementConversion, Tensor, TensorData};

use super::batch::indices;
use super::export::head_file;
use super::layer::{Layer, Rollout, project};
use super::{Batch, DraftVocabulary, Initial, Loss, Measured, Network, Parameters, cross_entropy};
use crate::draft::HeadFile;
use crate::error::Result;
use crate::model::Transformer;
use crate::sample::uniform;
use crate::weights::Role;

/// What the cross-entropy weighs beside the regression of features.
const CLASSES: f64 = 0.1;
/// The noise on features for documents of [`NOISE_LENGTH`] tokens: uniform, this far.
const NOISE: f64 = 0.1;
const NOISE_LENGTH: f64 = 512.0;
/// Where an EAGLE-1 head keeps its layer.
const PREFIX: &str = "layers.0.";

/// An EAGLE-1 head in training.
pub struct Eagle1Network {
    target: Arc<Transformer>,
    layer: Layer,
    initial: Parameters,
    /// The rows of the target's output head that the cross-entropy is over: frozen.
    head: Tensor<2>,
}

impl Eagle1Network {
    /// A head for a target, which begins as the target's last layer over its last
    /// feature, scaled to what that layer is used to. The cross-entropy is over the draft vocabulary only, which saves most of
    /// its time; the head drafts over all of the target's.
    ///
    /// # Errors
    /// The target's weights cannot be read.
    pub fn new(
        target: Arc<Transformer>,
        weights: &Initial<'_>,
        vocabulary: &DraftVocabulary,
    ) -> Result<Self> {
        let config = target.config();
        let (width, device) = (config.hidden, weights.device());
        let mut initial = Parameters::default();
        // A feature has been through the final norm, and this layer has no norm before
        // attention: projections see what the target's own do once the one norm's scale is
        // exchanged for the other's. Without that, scores are so large that attention sees
        // one token only and learns nothing.
        let own = weights.matrix(Role::AttentionNorm(config.layers - 1))?;
        let scale = own / weights.matrix(Role::FinalNorm)?;
        for (name, values) in weights.layer(PREFIX, false)? {
            let sees = ["q_proj.weight", "k_proj.weight", "v_proj.weight"];
            let values = match sees.iter().any(|part| name.ends_with(part)) {
                true => values * scale.clone(),
                false => values,
            };
            initial.set(&name, values);
        }
        let feature = Tensor::eye(width, device);
        let embedding = Tensor::zeros([width, width], device);
        initial.set("fc.weight", Tensor::cat(vec![embedding, feature], 1));
        initial.set("fc.bias", Tensor::zeros([1, width], device));
        Ok(Self {
            layer: Layer::of(config, PREFIX, device, 1)?,
            head: weights.head(vocabulary)?,
            initial,
            target,
        })
    }

    /// Features with noise, so that the head learns to live with its own errors.
    fn noisy(batch: &Batch, seed: u64) -> Tensor<2> {
        let [rows, width] = batch.last.dims();
        let mut noise = Vec::with_capacity(rows * width);
        for document in &batch.documents {
            let reach = NOISE * NOISE_LENGTH / document.len() as f64;
            for at in document.start * width..document.end * width {
                noise.push(((2.0 * uniform(seed, at as u64) - 1.0) * reach) as f32);
            }
        }
        let noise = TensorData::new(noise, [rows, width]);
        batch.last.clone() + Tensor::from_data(noise, &batch.last.device())
    }
}

impl Network for Eagle1Network {
    fn name(&self) -> &'static str {
        "eagle1"
    }

    fn taps(&self) -> &[usize] {
        &[]
    }

    fn initial(&self) -> Result<Parameters> {
        Ok(self.initial.clone())
    }

    fn loss(&self, weights: &Parameters, batch: &Batch, seed: u64, measure: bool) -> Result<Loss> {
        let mut result = Loss::default();
        let Some(lesson) = batch.lesson(1) else {
            return Ok(result);
        };
        let leaves = weights.leaves();
        let device = batch.last.device();
        let embedded = self
            .target
            .ops()
            .embed(self.target.embedding(), &batch.shifted(1))?;
        let pairs = Tensor::cat(vec![embedded, Self::noisy(batch, seed)], 1);
        let pairs = Tensor::from_inner(pairs);
        let x = project(&pairs, leaves.get("fc.weight")?) + leaves.get("fc.bias")?;
        let positions = batch.positions();
        let mut rollout = Rollout::new(&self.layer, &leaves, &batch.documents, positions, &device);
        let outputs = rollout.step(&x, x.clone())?;

        let count = lesson.rows.len();
        let outputs = outputs.select(0, Tensor::from_inner(indices(&lesson.rows, &device)));
        // A lesson's rows never end a document, so the next row is the next feature.
        let next: Vec<u32> = lesson.rows.iter().map(|row| row + 1).collect();
        let wanted = batch.last.clone().select(0, indices(&next, &device));
        let width = wanted.dims()[1];
        let share = 1.0 / count as f64;
        let said = cross_entropy(
            &outputs.clone().inner(),
            &self.head,
            &lesson.targets,
            CLASSES * share,
            true,
            measure,
        );
        let error = outputs.clone().inner() - wanted;
        let share = share / width as f64;
        if measure {
            let classes = CLASSES * said.loss / count as f64;
            result.value = classes + smooth_l1(&error) * share;
        }
        // The slope of the smooth L1 norm is the error itself, up to 1.
        let slope = error.clamp(-1.0, 1.0) * share + said.inputs;
        let sum = (outputs * Tensor::from_inner(slope)).sum();
        let mut tape = sum.backward();
        result.gradients = leaves.gradients(&mut tape);
        result.steps.push(Measured {
            loss: said.loss,
            learnt: count,
            correct: said.correct,
            all: lesson.all,
        });
        Ok(result)
    }

    fn export(&self, weights: &Parameters) -> Result<HeadFile> {
        let more = serde_json::json!({
            "architectures": ["LlamaForCausalLMEagle"],
            "bias": true,
        });
        Ok(head_file(weights, self.target.config(), None, more))
    }
}

/// Sum of the smooth L1 norms of all values: quadratic up to 1, then linear.
fn smooth_l1(error: &Tensor<2>) -> f64 {
    let far = error.clone().abs();
    let near = far.clone().clamp(0.0, 1.0);
    let norms = far - near.clone() + near.square() * 0.5;
    norms.sum().into_scalar::<f32>().elem::<f64>()
}
