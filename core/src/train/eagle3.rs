//! Training of EAGLE-3 heads: training-time test, no regression of features.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::export::head_file;
use super::layer::{Layer, Rollout, project, rms_norm};
use super::{Batch, DraftVocabulary, Initial, Loss, Measured, Network, Parameters, cross_entropy};
use crate::draft::HeadFile;
use crate::error::Result;
use crate::model::Transformer;
use crate::weights::Role;

/// What a step further ahead weighs.
const DECAY: f64 = 0.8;
/// Where an EAGLE-3 head keeps its layer.
const PREFIX: &str = "midlayer.";

/// An EAGLE-3 head in training.
pub struct Eagle3Network {
    target: Arc<Transformer>,
    vocabulary: DraftVocabulary,
    taps: Vec<usize>,
    steps: usize,
    layer: Layer,
    initial: Parameters,
}

impl Eagle3Network {
    /// A head for a target, which looks `steps` tokens ahead in training and sees what
    /// enters the target's layers at `taps` (see [`super::taps`]). It begins as the
    /// target's last layer and output head, over the target's highest tap.
    ///
    /// # Errors
    /// The target's weights cannot be read.
    pub fn new(
        target: Arc<Transformer>,
        weights: &Initial<'_>,
        vocabulary: DraftVocabulary,
        taps: Vec<usize>,
        steps: usize,
    ) -> Result<Self> {
        let config = target.config();
        let layer = Layer::of(config, PREFIX, weights.device(), steps)?;
        let mut initial = Parameters::default();
        for (name, values) in weights.layer(PREFIX, true)? {
            initial.set(&name, values);
        }
        let norm = weights.matrix(Role::AttentionNorm(config.layers - 1))?;
        let width = config.hidden;
        let highest = Tensor::eye(width, weights.device());
        let zeros = Tensor::zeros([width, (taps.len() - 1) * width], weights.device());
        initial.set("fc.weight", Tensor::cat(vec![zeros, highest], 1));
        // The scale of a normed embedding begins as that of the normed feature.
        initial.set("midlayer.input_layernorm.weight", norm.clone());
        initial.set("midlayer.hidden_norm.weight", norm);
        initial.set("norm.weight", weights.matrix(Role::FinalNorm)?);
        initial.set("lm_head.weight", weights.head(&vocabulary)?);
        Ok(Self {
            taps,
            vocabulary,
            steps,
            layer,
            initial,
            target,
        })
    }
}

impl Network for Eagle3Network {
    fn name(&self) -> &'static str {
        "eagle3"
    }

    fn taps(&self) -> &[usize] {
        &self.taps
    }

    fn initial(&self) -> Result<Parameters> {
        Ok(self.initial.clone())
    }

    fn loss(&self, weights: &Parameters, batch: &Batch, _: u64, measure: bool) -> Result<Loss> {
        let leaves = weights.leaves();
        let device = batch.last.device();
        let positions = batch.positions();
        let mut rollout = Rollout::new(&self.layer, &leaves, &batch.documents, positions, &device);
        let mut features = project(
            &Tensor::from_inner(batch.taps.clone()),
            leaves.get("fc.weight")?,
        );
        let epsilon = self.layer.epsilon;
        let mut result = Loss::default();
        // Its gradient is the loss's: outputs times what the loss says of each.
        let mut sum = None;
        let mut share = None;
        for step in 0..self.steps {
            let tokens = batch.shifted(step + 1);
            let embedded = self.target.ops().embed(self.target.embedding(), &tokens)?;
            let embedded = Tensor::from_inner(embedded);
            let normed = |x, name: &str| {
                let weight = leaves.get(&format!("{PREFIX}{name}.weight"))?;
                Ok::<_, crate::Error>(rms_norm(x, weight, epsilon))
            };
            let pair = [
                normed(&embedded, "input_layernorm")?,
                normed(&features, "hidden_norm")?,
            ];
            features = rollout.step(&Tensor::cat(pair.into(), 1), features)?;
            let Some(lesson) = batch.lesson(step + 1) else {
                break;
            };
            let rows = super::batch::indices(&lesson.rows, &device);
            // One share for all steps, or those with fewer lessons would weigh more.
            let share = *share.get_or_insert(1.0 / lesson.rows.len() as f64);
            let scale = share * DECAY.powi(step as i32);
            let outputs = rms_norm(&features, leaves.get("norm.weight")?, epsilon);
            let outputs = outputs.select(0, Tensor::from_inner(rows));
            let said = cross_entropy(
                &outputs.clone().inner(),
                weights.get("lm_head.weight")?,
                &lesson.targets,
                scale,
                false,
                measure,
            );
            result.value += scale * said.loss;
            if let Some(gradient) = said.weights {
                result.gradients.add("lm_head.weight", gradient);
            }
            let part = (outputs * Tensor::from_inner(said.inputs)).sum();
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
            result.steps.push(Measured {
                loss: said.loss,
                learnt: lesson.rows.len(),
                correct: said.correct,
                all: lesson.all,
            });
        }
        if let Some(sum) = sum {
            let mut tape = sum.backward();
            result.gradients.add_all(leaves.gradients(&mut tape));
        }
        Ok(result)
    }

    fn export(&self, weights: &Parameters) -> Result<HeadFile> {
        let ids = self.vocabulary.ids();
        let more = serde_json::json!({
            "architectures": ["LlamaForCausalLMEagle3"],
            "draft_vocab_size": ids.len(),
            "eaglet_taps": self.taps,
            "eagle_config": {
                "use_aux_hidden_state": true,
                "eagle_aux_hidden_state_layer_ids": self.taps,
            },
        });
        Ok(head_file(weights, self.target.config(), Some(ids), more))
    }
}
