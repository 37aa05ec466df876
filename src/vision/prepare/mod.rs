//! Preparing a model: named, repeatable steps from the file with the known
//! hash to the graph that is run. They work on the protobuf encoding itself
//! and leave every field they do not name exactly as it was.
//!
//! Nothing prepared is ever written to a disk; the identity of a model stays
//! the SHA-256 of its file, with [`PREPARATION`] and [`variant`].

mod eight_bit;
mod graph;
mod heads;
mod prelu;
mod protobuf;

use super::manifest::Step;
use graph::{
    DIM_PARAM, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO, MODEL_GRAPH, MODEL_OPERATORS,
    OPERATORS_DOMAIN, OPERATORS_VERSION, SHAPE_DIM, TENSOR_NAME, TENSOR_TYPE_SHAPE, TYPE_TENSOR, VALUE_NAME,
    VALUE_TYPE,
};
use protobuf::{fields, first, numbers, put_bytes, put_number, rewrite};

/// Raised whenever the steps come to give other embeddings than before: those of
/// different numbers are never compared. A step that computes the same in
/// another way, so that an embedding of unit length stays within 5e-6 a number
/// of what the file as it comes gives, keeps the number: such references and
/// calibrations stay good. `tests/it/prepare.rs` holds the steps to it. A step
/// that does change embeddings is no reason to raise it either, but has a
/// [`variant`] of its own.
pub const PREPARATION: u32 = 1;

/// Which embeddings the steps give: 0 those of the file as it comes, up to
/// rounding, 1 those of an `eight-bit-head`. References and calibrations of one
/// are not used with the other.
pub fn variant(steps: &[Step]) -> u32 {
    u32::from(steps.contains(&Step::EightBitHead))
}

/// A model that is not what the step expects.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the model cannot be prepared: {0}")]
pub struct PrepareError(&'static str);

/// Applies the steps in order.
///
/// # Errors
/// If the bytes are not an ONNX model, or not one that a step fits.
pub fn prepare(model: &[u8], steps: &[Step]) -> Result<Vec<u8>, PrepareError> {
    let mut out = model.to_vec();
    for step in steps {
        let set = operators(&out, "")?.unwrap_or(1);
        out = rewrite(&out, MODEL_GRAPH, |graph| match step {
            Step::FreeSize => free_size(graph),
            Step::DropWeightInputs => drop_weight_inputs(graph),
            Step::SplitPrelu => prelu::split(graph),
            Step::FoldPrelu => prelu::fold(graph),
            Step::MergeHeads => heads::merge(graph, set),
            Step::EightBitHead => eight_bit::head(graph),
        })?;
        if *step == Step::EightBitHead && operators(&out, eight_bit::DOMAIN)?.is_none() {
            let mut set = Vec::new();
            put_bytes(&mut set, OPERATORS_DOMAIN, eight_bit::DOMAIN.as_bytes());
            put_number(&mut set, OPERATORS_VERSION, eight_bit::VERSION);
            put_bytes(&mut out, MODEL_OPERATORS, &set);
        }
    }
    Ok(out)
}

/// The version of a set of operators that a model says it uses; ONNX's own has
/// no name.
fn operators(model: &[u8], domain: &str) -> Result<Option<u64>, PrepareError> {
    for field in fields(model)?.iter().filter(|f| f.number == MODEL_OPERATORS) {
        if first(field.bytes(), OPERATORS_DOMAIN)? == domain.as_bytes() {
            return Ok(numbers(&fields(field.bytes())?, OPERATORS_VERSION)?.first().copied());
        }
    }
    Ok(None)
}

/// Frees height and width of the input, and forgets every declared shape that
/// follows from them (outputs and inner values).
fn free_size(graph: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let freed = rewrite(graph, GRAPH_INPUT, |value| {
        rewrite(value, VALUE_TYPE, |kind| {
            rewrite(kind, TYPE_TENSOR, |tensor| rewrite(tensor, TENSOR_TYPE_SHAPE, free_last_two))
        })
    })?;
    let mut out = Vec::with_capacity(freed.len());
    for field in fields(&freed)? {
        match field.number {
            GRAPH_VALUE_INFO => {}
            GRAPH_OUTPUT => {
                let shapeless = rewrite(field.bytes(), VALUE_TYPE, |kind| {
                    rewrite(kind, TYPE_TENSOR, |tensor| {
                        Ok(fields(tensor)?
                            .iter()
                            .filter(|f| f.number != TENSOR_TYPE_SHAPE)
                            .flat_map(|f| f.whole.iter().copied())
                            .collect())
                    })
                })?;
                put_bytes(&mut out, GRAPH_OUTPUT, &shapeless);
            }
            _ => out.extend_from_slice(field.whole),
        }
    }
    Ok(out)
}

fn free_last_two(shape: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let dims = fields(shape)?;
    if dims.len() != 4 {
        return Err(PrepareError("the input is not [1,3,H,W]"));
    }
    let mut out = Vec::new();
    for (dim, name) in dims.iter().zip([None, None, Some("height"), Some("width")]) {
        match name {
            None => out.extend_from_slice(dim.whole),
            Some(name) => {
                let mut free = Vec::new();
                put_bytes(&mut free, DIM_PARAM, name.as_bytes());
                put_bytes(&mut out, SHAPE_DIM, &free);
            }
        }
    }
    Ok(out)
}

/// Keeps as inputs only what is not also a weight.
fn drop_weight_inputs(graph: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let all = fields(graph)?;
    let weights = all
        .iter()
        .filter(|f| f.number == GRAPH_INITIALIZER)
        .map(|f| first(f.bytes(), TENSOR_NAME))
        .collect::<Result<std::collections::HashSet<_>, _>>()?;
    let mut out = Vec::with_capacity(graph.len());
    for field in &all {
        if field.number != GRAPH_INPUT || !weights.contains(first(field.bytes(), VALUE_NAME)?) {
            out.extend_from_slice(field.whole);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rubbish_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for step in Step::ALL {
                let _ = prepare(&bytes, &[step]);
            }
        }
    }

    #[test]
    fn a_weight_is_no_longer_an_input() {
        let mut weight = Vec::new();
        put_bytes(&mut weight, TENSOR_NAME, b"w");
        let mut graph = Vec::new();
        for name in [b"x", b"w"] {
            let mut value = Vec::new();
            put_bytes(&mut value, VALUE_NAME, name);
            put_bytes(&mut graph, GRAPH_INPUT, &value);
        }
        put_bytes(&mut graph, GRAPH_INITIALIZER, &weight);
        let out = drop_weight_inputs(&graph).unwrap();
        let left: Vec<&[u8]> = fields(&out)
            .unwrap()
            .iter()
            .filter(|f| f.number == GRAPH_INPUT)
            .map(|f| first(f.bytes(), VALUE_NAME).unwrap())
            .collect();
        assert_eq!(left, [b"x"]);
    }
}
