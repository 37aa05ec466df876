//! YuNet's heads: at each stride four small convolutions of one 1x1 and one
//! 3x3 depthwise step read the same features. Merged they are one of each.

use super::PrepareError;
use super::graph::{Edit, Edits, Graph, Node, node, weight, weight_of_integers, with_int, with_ints};

const STRIDES: [u32; 3] = [8, 16, 32];
/// Outputs of one stride in the order in which they are merged: name, numbers
/// a cell, and whether they end in a sigmoid.
const HEADS: [(&str, usize, bool); 4] =
    [("cls", 1, true), ("obj", 1, true), ("bbox", 4, false), ("kps", 10, false)];
/// Numbers a cell, all heads together.
const ALL: usize = 16;
/// The last set of ONNX operators in which `Split` has its sizes as an attribute.
const LAST_OPERATORS: u64 = 12;

const OTHER: PrepareError = PrepareError("its outputs are not made as YuNet's heads make them");

/// The convolutions of one head.
struct Head<'a> {
    /// Where its nodes stand; the last makes the output.
    nodes: Vec<usize>,
    features: &'a [u8],
    first: [&'a [u8]; 2],
    second: [&'a [u8]; 2],
}

/// Merges the four heads of each stride: 1x1, 3x3 depthwise, cells last, and
/// only then apart.
pub(super) fn merge(graph: &[u8], operators: u64) -> Result<Vec<u8>, PrepareError> {
    if operators > LAST_OPERATORS {
        return Err(PrepareError("its set of operators is later than that of YuNet's file"));
    }
    let graph = Graph::read(graph)?;
    let mut edits = Edits::new();
    for stride in STRIDES {
        let heads: Vec<Head<'_>> =
            HEADS.iter().map(|h| Head::of(&graph, stride, *h)).collect::<Result<_, _>>()?;
        let place = heads.iter().flat_map(|h| &h.nodes).max().copied().ok_or(OTHER)?;
        for n in heads.iter().flat_map(|h| &h.nodes) {
            edits.insert(*n, Edit::default());
        }
        edits.insert(place, together(&graph, &heads, stride)?);
    }
    graph.edited(&edits)
}

impl<'a> Head<'a> {
    fn of(
        graph: &Graph<'a>,
        stride: u32,
        (name, numbers, sigmoid): (&str, usize, bool),
    ) -> Result<Self, PrepareError> {
        let output = format!("{name}_{stride}");
        let mut nodes = Vec::new();
        // From the output back; nobody else may read what lies between.
        let mut made_by = |tensor: &[u8], op: &str| -> Result<&Node<'a>, PrepareError> {
            if !nodes.is_empty() && graph.only_reader(tensor).is_none() {
                return Err(OTHER);
            }
            let n = graph.maker(tensor).ok_or(OTHER)?;
            nodes.push(n);
            graph.nodes.get(n).filter(|node| node.op == op.as_bytes() && node.output().is_some()).ok_or(OTHER)
        };
        let mut tensor = output.as_bytes();
        if sigmoid {
            tensor = made_by(tensor, "Sigmoid")?.inputs.first().ok_or(OTHER)?;
        }
        let [cells, shape] = made_by(tensor, "Reshape")?.inputs[..] else { return Err(OTHER) };
        let transpose = made_by(cells, "Transpose")?;
        let [planes] = transpose.inputs[..] else { return Err(OTHER) };
        let second = made_by(planes, "Conv")?;
        let [between, w2, b2] = second.inputs[..] else { return Err(OTHER) };
        let first = made_by(between, "Conv")?;
        let [features, w1, b1] = first.inputs[..] else { return Err(OTHER) };
        let fits = graph.integers(shape)? == [1, -1, numbers as i64]
            && transpose.ints("perm")?.as_deref() == Some(&[0, 2, 3, 1])
            && is_plain(second, 3, numbers)?
            && is_plain(first, 1, 1)?;
        if fits { Ok(Self { nodes, features, first: [w1, b1], second: [w2, b2] }) } else { Err(OTHER) }
    }
}

/// A convolution of this side that keeps the size: stride and dilation 1, padded
/// by half its side.
fn is_plain(conv: &Node<'_>, side: u64, group: usize) -> Result<bool, PrepareError> {
    let is = |name: &str, value: u64, default: bool| -> Result<bool, PrepareError> {
        Ok(conv.ints(name)?.map_or(default, |v| v.iter().all(|v| *v == value)))
    };
    Ok(is("kernel_shape", side, false)?
        && is("pads", side / 2, side == 1)?
        && is("strides", 1, true)?
        && is("dilations", 1, true)?
        && conv.int("group", 1)? == group as u64)
}

fn together(graph: &Graph<'_>, heads: &[Head<'_>], stride: u32) -> Result<Edit, PrepareError> {
    let features = heads.first().ok_or(OTHER)?.features;
    if heads.iter().any(|h| h.features != features) {
        return Err(OTHER);
    }
    let channels = match graph.tensor(heads.first().ok_or(OTHER)?.first[0])?.dims[..] {
        [_, channels, 1, 1] => channels,
        _ => return Err(OTHER),
    };
    let [mut w1, mut b1, mut w2, mut b2] = [const { Vec::new() }; 4];
    for (head, (_, numbers, _)) in heads.iter().zip(HEADS) {
        let parts = [
            (head.first[0], vec![numbers, channels, 1, 1], &mut w1),
            (head.first[1], vec![numbers], &mut b1),
            (head.second[0], vec![numbers, 1, 3, 3], &mut w2),
            (head.second[1], vec![numbers], &mut b2),
        ];
        for (name, dims, all) in parts {
            let tensor = graph.tensor(name)?;
            if tensor.dims != dims {
                return Err(OTHER);
            }
            all.extend(tensor.values);
        }
    }
    let named = |part: &str| format!("heads_{stride}:{part}").into_bytes();
    let [nw1, nb1, nw2, nb2, shape] = ["w1", "b1", "w2", "b2", "shape"].map(named);
    let [first, second, turned, cells] = ["1x1", "3x3", "turned", "cells"].map(named);
    let output = |name: &str| format!("{name}_{stride}").into_bytes();
    let parts: Vec<Vec<u8>> =
        HEADS.iter().map(|(name, _, sigmoid)| if *sigmoid { named(name) } else { output(name) }).collect();
    let conv = |x: &[u8], w: &[u8], b: &[u8], y: &[u8], side: usize| {
        with_ints(node("Conv", &[x, w, b], &[y]), "kernel_shape", &[side, side])
    };
    let mut nodes = vec![
        conv(features, &nw1, &nb1, &first, 1),
        with_int(with_ints(conv(&first, &nw2, &nb2, &second, 3), "pads", &[1; 4]), "group", ALL),
        with_ints(node("Transpose", &[&second], &[&turned]), "perm", &[0, 2, 3, 1]),
        node("Reshape", &[&turned, &shape], &[&cells]),
        with_int(
            with_ints(
                node("Split", &[&cells], &parts.iter().map(Vec::as_slice).collect::<Vec<_>>()),
                "split",
                &HEADS.map(|(_, numbers, _)| numbers),
            ),
            "axis",
            2,
        ),
    ];
    for ((name, ..), part) in HEADS.iter().zip(&parts).filter(|((.., sigmoid), _)| *sigmoid) {
        nodes.push(node("Sigmoid", &[part], &[&output(name)]));
    }
    let weights = vec![
        weight(&nw1, &[ALL, channels, 1, 1], &w1),
        weight(&nb1, &[ALL], &b1),
        weight(&nw2, &[ALL, 1, 3, 3], &w2),
        weight(&nb2, &[ALL], &b2),
        weight_of_integers(&shape, &[1, -1, ALL as i64]),
    ];
    Ok(Edit { weights, nodes })
}
