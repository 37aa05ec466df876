//! The last product of a recognizer with weights of 8 bits instead of 32.

use super::PrepareError;
use super::graph::{Edit, Edits, Graph, Node, node, weight, weight_of_bytes, with_domain, with_int};

/// The runtime's own set of operators, and the version this one is of.
pub(super) const DOMAIN: &str = "com.microsoft";
pub(super) const VERSION: u64 = 1;
/// Weights that share a scale.
const BLOCK: usize = 128;
/// Asks the runtime to multiply whole numbers of 8 bits.
const ACCURACY_LEVEL: usize = 4;

/// Writes the only `Gemm` of a graph, `x*B^T + b` with B `[N,K]`, as
/// `MatMulNBits` and an addition. A weight `w` becomes `q = w/s + 128`, rounded
/// to the nearest and to even between two, with `s` the largest of its block
/// over 127: an error of at most `s/2`.
pub(super) fn head(graph: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let graph = Graph::read(graph)?;
    let mut gemms = graph.nodes.iter().enumerate().filter(|(_, node)| node.op == b"Gemm");
    let (Some((n, gemm)), None) = (gemms.next(), gemms.next()) else {
        return Err(PrepareError("a graph without exactly one Gemm"));
    };
    let ([x, w, bias], Some(y)) = (&gemm.inputs[..], gemm.output()) else {
        return Err(PrepareError("a Gemm without an addition"));
    };
    let weights = graph.tensor(w)?;
    let [rows, columns] = weights.dims[..] else {
        return Err(PrepareError("a Gemm that is not of a matrix"));
    };
    if !is_plain(gemm)? || columns == 0 || columns % BLOCK != 0 {
        return Err(PrepareError("a Gemm that is not x*B^T + b, or its rows are no multiple of 128"));
    }
    let (quantised, scales) = quantise(&weights.values)?;
    let [nq, ns, product] = [":q", ":s", ":p"].map(|suffix| [y, suffix.as_bytes()].concat());
    let blocks = columns / BLOCK;
    let mut multiply = with_domain(node("MatMulNBits", &[x, &nq, &ns], &[&product]), DOMAIN);
    for (name, value) in
        [("K", columns), ("N", rows), ("bits", 8), ("block_size", BLOCK), ("accuracy_level", ACCURACY_LEVEL)]
    {
        multiply = with_int(multiply, name, value);
    }
    let edit = Edit {
        weights: vec![
            weight_of_bytes(&nq, &[rows, blocks, BLOCK], &quantised),
            weight(&ns, &[rows, blocks], &scales),
        ],
        nodes: vec![multiply, node("Add", &[&product, bias], &[y])],
    };
    graph.edited(&Edits::from([(n, edit)]))
}

fn is_plain(gemm: &Node<'_>) -> Result<bool, PrepareError> {
    Ok(gemm.int("transA", 0)? == 0
        && gemm.int("transB", 0)? == 1
        && gemm.float("alpha", 1.0)? == 1.0
        && gemm.float("beta", 1.0)? == 1.0)
}

/// Bytes, and one scale for each block.
fn quantise(weights: &[f32]) -> Result<(Vec<u8>, Vec<f32>), PrepareError> {
    if !weights.iter().all(|w| w.is_finite()) {
        return Err(PrepareError("a weight that is not a number"));
    }
    let scales: Vec<f32> = weights
        .chunks(BLOCK)
        .map(|block| block.iter().fold(0.0f32, |most, w| most.max(w.abs())) / 127.0)
        // Zero, or too small to divide by: every weight of the block becomes 0.
        .map(|s| if s.is_normal() { s } else { 1.0 })
        .collect();
    let quantised = weights
        .chunks(BLOCK)
        .zip(&scales)
        .flat_map(|(block, s)| block.iter().map(move |w| ((w / s).round_ties_even() + 128.0) as u8))
        .collect();
    Ok((quantised, scales))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_weight_is_off_by_at_most_half_a_step(
            weights in proptest::collection::vec(-3f32..3.0, 4 * BLOCK),
            factor in prop_oneof![Just(0.0f32), Just(1e-38), Just(1e-6), Just(1.0), Just(1e30)],
        ) {
            let weights: Vec<f32> = weights.iter().map(|w| w * factor).collect();
            let (quantised, scales) = quantise(&weights).unwrap();
            prop_assert_eq!((quantised.len(), scales.len()), (weights.len(), 4));
            for ((w, q), s) in weights.iter().zip(&quantised).zip(scales.iter().flat_map(|s| [s; BLOCK])) {
                let back = (f32::from(*q) - 128.0) * s;
                prop_assert!((back - w).abs() <= s * 0.5001, "{w} became {back} with scale {s}");
            }
        }
    }

    #[test]
    fn a_weight_that_is_no_number_is_refused() {
        for w in [f32::NAN, f32::INFINITY] {
            assert!(quantise(&[0.0, w]).is_err());
        }
    }
}
