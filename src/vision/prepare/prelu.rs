//! PReLU, `x` where it is positive and `a*x` elsewhere with a slope `a` a
//! channel, written with what the runtime keeps in its blocked layout. Its own
//! PReLU kernel, and plain products with a vector, change the layout back and
//! forth.

use std::collections::HashMap;

use super::PrepareError;
use super::graph::{Edit, Edits, Graph, Node, Tensor, node, weight, with_int, with_ints};

/// Writes each `PRelu(x, a)` as `a*x + relu((1-a)*x)`, or, where a slope is
/// above 1, as `a*x + (1-a)*relu(x)`. The products are 1x1 depthwise
/// convolutions.
pub(super) fn split(graph: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let graph = Graph::read(graph)?;
    let mut edits = Edits::new();
    for (n, prelu) in graph.nodes.iter().enumerate().filter(|(_, node)| node.op == b"PRelu") {
        let [x, slope] = prelu.inputs[..] else { return Err(PrepareError("a PRelu without two inputs")) };
        let y = prelu.output().ok_or(PrepareError("a PRelu without one output"))?;
        let slopes = graph.floats(slope)?;
        let rest: Vec<f32> = slopes.iter().map(|a| 1.0 - a).collect();
        let [a, rest_of_a, s, p, n_] = [":a", ":1-a", ":s", ":p", ":n"].map(|suffix| named(y, suffix));
        let channels = slopes.len();
        let mut nodes = if rest.iter().all(|r| *r >= 0.0) {
            vec![depthwise(x, &rest_of_a, &s, channels), node("Relu", &[&s], &[&p])]
        } else {
            vec![node("Relu", &[x], &[&s]), depthwise(&s, &rest_of_a, &p, channels)]
        };
        nodes.push(depthwise(x, &a, &n_, channels));
        nodes.push(node("Add", &[&n_, &p], &[y]));
        let weights = vec![of_channels(&a, &slopes), of_channels(&rest_of_a, &rest)];
        edits.insert(n, Edit { weights, nodes });
    }
    graph.edited(&edits)
}

/// A convolution, its normalisation, and the PReLU that reads that alone.
struct Triple<'a> {
    norm: usize,
    prelu: usize,
    y: &'a [u8],
    slopes: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    /// Few enough weights that doing it twice is cheaper than a pass over its result.
    thin: bool,
}

/// Writes `Conv`, `BatchNormalization`, `PRelu` in a row so that the factors of
/// PReLU become part of the normalisation, which the runtime folds into the
/// convolution. With `d = |1-a|`:
///
/// - A thin convolution is done twice, once with its normalisation times `d`,
///   then `relu`, and once times `a`; the two are added. Where `a > 1` the sum
///   is that of `-y`, and the convolutions that read it have their weights for
///   that channel negated.
/// - Otherwise, with the normalisation times `d` giving `u`, it is
///   `relu(u) + (a/d)*u`, if no slope is above or very near 1.
///
/// Other PReLUs are left as they are, for [`split`].
pub(super) fn fold(graph: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let graph = Graph::read(graph)?;
    let mut edits = Edits::new();
    let mut signs: HashMap<&[u8], Vec<f32>> = HashMap::new();
    let mut folded = false;
    for (n, conv) in graph.nodes.iter().enumerate().filter(|(_, node)| node.op == b"Conv") {
        let [x, w, ref bias @ ..] = conv.inputs[..] else { continue };
        let Some(z) = conv.output() else { continue };
        let negated = match signs.get(x) {
            Some(signs) => Some(negated(&graph, conv, signs)?),
            None => None,
        };
        let mut edit = Edit::default();
        let signed = named(z, ":signed");
        let mut inputs = vec![x, w];
        if let Some(w) = &negated {
            edit.weights.push(weight(&signed, &w.dims, &w.values));
            inputs = vec![x, &signed];
        }
        inputs.extend(bias);
        if let Some(triple) = Triple::of(&graph, conv) {
            let may_negate = || is_negatable(&graph, &triple);
            if let Some(negative) = triple.write(&graph, conv, &inputs, may_negate, &mut edit)? {
                folded = true;
                if negative.iter().any(|s| *s < 0.0) {
                    signs.insert(triple.y, negative);
                }
                edits.insert(n, Edit::default());
                edits.insert(triple.norm, Edit::default());
                edits.insert(triple.prelu, edit);
                continue;
            }
        }
        if negated.is_some() {
            edit.nodes.push(conv.between(&inputs, z)?);
            edits.insert(n, edit);
        }
    }
    if folded {
        graph.edited(&edits)
    } else {
        Err(PrepareError("no Conv, BatchNormalization and PRelu in a row that can be folded"))
    }
}

impl<'a> Triple<'a> {
    /// Weights of one output and channels up to which a convolution is thin:
    /// measured with SFace, whose planes are 112 to 7 pixels wide.
    const THIN: (usize, usize) = (27, 256);
    /// Slopes nearer to 1 than this would make `a/d` large and its product coarse.
    const LEAST_DISTANCE: f32 = 1.0 / 64.0;

    fn of(graph: &Graph<'a>, conv: &Node<'a>) -> Option<Self> {
        let after = |output: &[u8], op: &[u8]| {
            let n = graph.only_reader(output)?;
            let node = graph.nodes.get(n)?;
            (node.op == op && node.inputs.first() == Some(&output)).then_some((n, node))
        };
        let (norm, norm_node) = after(conv.output()?, b"BatchNormalization")?;
        let (prelu, prelu_node) = after(norm_node.output()?, b"PRelu")?;
        let [_, gamma, beta, _, _] = norm_node.inputs[..] else { return None };
        let [_, slope] = prelu_node.inputs[..] else { return None };
        let [gamma, beta, slope] = [gamma, beta, slope].map(|name| graph.tensor(name).ok());
        let (gamma, beta, slope) = (gamma?, beta?, slope?);
        let filters = graph.tensor(conv.inputs.get(1)?).ok()?;
        let channels = slope.values.len();
        // One slope a channel: any other shape is spread in another direction.
        let fits = slope.dims.ends_with(&[channels, 1, 1])
            && gamma.values.len() == channels
            && beta.values.len() == channels
            && filters.dims.len() == 4
            && filters.dims.first() == Some(&channels)
            && slope.values.iter().all(|a| a.is_finite());
        let each = filters.values.len() / channels.max(1);
        fits.then(|| Self {
            norm,
            prelu,
            y: prelu_node.outputs.first().copied().unwrap_or_default(),
            thin: each <= Self::THIN.0 && channels <= Self::THIN.1,
            slopes: slope.values,
            gamma: gamma.values,
            beta: beta.values,
        })
    }

    /// The nodes in its place, for the convolution on these inputs, and the sign
    /// with which each channel comes out; `None` if neither form fits.
    fn write(
        &self,
        graph: &Graph<'_>,
        conv: &Node<'_>,
        inputs: &[&[u8]],
        may_negate: impl Fn() -> bool,
        edit: &mut Edit,
    ) -> Result<Option<Vec<f32>>, PrepareError> {
        let y = self.y;
        let distances: Vec<f32> = self.slopes.iter().map(|a| (1.0 - a).abs()).collect();
        let signs: Vec<f32> = self.slopes.iter().map(|a| if *a > 1.0 { -1.0 } else { 1.0 }).collect();
        let above = signs.iter().any(|s| *s < 0.0);
        let Some(norm) = graph.nodes.get(self.norm) else { return Ok(None) };
        let scaled = |edit: &mut Edit, by: &[f32], [c, gamma, beta, out]: [&[u8]; 4]| {
            let times = |v: &[f32]| v.iter().zip(by).map(|(v, k)| v * k).collect::<Vec<f32>>();
            edit.weights.push(weight(gamma, &[by.len()], &times(&self.gamma)));
            edit.weights.push(weight(beta, &[by.len()], &times(&self.beta)));
            edit.nodes.push(conv.between(inputs, c)?);
            let [.., mean, variance] = norm.inputs[..] else { return Ok(()) };
            edit.nodes.push(norm.between(&[c, gamma, beta, mean, variance], out)?);
            Ok::<_, PrepareError>(())
        };
        let [c, gamma, beta, u] = [":c", ":gamma", ":beta", ":u"].map(|suffix| named(y, suffix));
        let [p, n] = [":p", ":n"].map(|suffix| named(y, suffix));
        if self.thin && (!above || may_negate()) {
            let [c2, gamma2, beta2] = [":c2", ":gamma2", ":beta2"].map(|suffix| named(y, suffix));
            let linear: Vec<f32> = self.slopes.iter().zip(&signs).map(|(a, s)| a * s).collect();
            scaled(edit, &distances, [&c, &gamma, &beta, &u])?;
            edit.nodes.push(node("Relu", &[&u], &[&p]));
            scaled(edit, &linear, [&c2, &gamma2, &beta2, &n])?;
        } else if !above && distances.iter().all(|d| *d >= Self::LEAST_DISTANCE) {
            let ratio = named(y, ":a/d");
            let ratios: Vec<f32> = self.slopes.iter().zip(&distances).map(|(a, d)| a / d).collect();
            scaled(edit, &distances, [&c, &gamma, &beta, &u])?;
            edit.nodes.push(node("Relu", &[&u], &[&p]));
            edit.weights.push(of_channels(&ratio, &ratios));
            edit.nodes.push(depthwise(&u, &ratio, &n, ratios.len()));
        } else {
            return Ok(None);
        }
        edit.nodes.push(node("Add", &[&n, &p], &[y]));
        Ok(Some(signs))
    }
}

/// Whether only convolutions that come later read it, and each can undo a sign.
fn is_negatable(graph: &Graph<'_>, triple: &Triple<'_>) -> bool {
    let readers = graph.readers(triple.y).unwrap_or_default();
    !readers.is_empty()
        && readers.iter().all(|n| {
            let Some(conv) = graph.nodes.get(*n).filter(|_| *n > triple.prelu) else { return false };
            let at = conv.inputs.iter().position(|i| *i == triple.y);
            let once = conv.inputs.iter().filter(|i| **i == triple.y).count() == 1;
            conv.op == b"Conv" && at == Some(0) && once && negated(graph, conv, &triple.slopes).is_ok()
        })
}

/// The weights of a convolution, times a factor for each channel it reads.
fn negated(graph: &Graph<'_>, conv: &Node<'_>, signs: &[f32]) -> Result<Tensor, PrepareError> {
    const OTHER: PrepareError = PrepareError("a convolution that cannot take the sign of what it reads");
    let w = conv.inputs.get(1).ok_or(OTHER)?;
    let Tensor { dims, mut values } = graph.tensor(w)?;
    let [out, each, height, width] = dims[..] else { return Err(OTHER) };
    let group = conv.int("group", 1)?;
    let depthwise = group == out as u64 && out == signs.len() && each == 1;
    if !(depthwise || group == 1 && each == signs.len()) {
        return Err(OTHER);
    }
    // Rows of one filter's plane: by output channel where it is depthwise, and
    // else by output and input channel.
    let plane = (height * width).max(1);
    values.chunks_mut(plane).zip(signs.iter().cycle()).for_each(|(p, s)| p.iter_mut().for_each(|v| *v *= s));
    Ok(Tensor { dims, values })
}

fn named(y: &[u8], suffix: &str) -> Vec<u8> {
    [y, suffix.as_bytes()].concat()
}

/// A weight `[C,1,1,1]`.
fn of_channels(name: &[u8], values: &[f32]) -> Vec<u8> {
    weight(name, &[values.len(), 1, 1, 1], values)
}

/// `Conv` with one 1x1 filter a channel.
fn depthwise(x: &[u8], weights: &[u8], y: &[u8], channels: usize) -> Vec<u8> {
    with_ints(with_int(node("Conv", &[x, weights], &[y]), "group", channels), "kernel_shape", &[1, 1])
}

#[cfg(test)]
mod tests {
    use super::super::graph::{GRAPH_INITIALIZER, GRAPH_NODE};
    use super::super::protobuf::put_bytes;
    use super::*;
    use proptest::prelude::*;

    /// A convolution of two channels, normalised, with these slopes, read by
    /// `reader`; `filters` are the dimensions of its weights.
    fn row(slopes: &[f32], filters: [usize; 4], reader: &str) -> Vec<u8> {
        let many: Vec<f32> = (1..=filters.iter().product::<usize>()).map(|i| i as f32).collect();
        let mut graph = Vec::new();
        for w in [
            weight(b"w", &filters, &many),
            weight(b"gamma", &[2], &[2.0, 3.0]),
            weight(b"beta", &[2], &[5.0, 7.0]),
            weight(b"slope", &[2, 1, 1], slopes),
            weight(b"w2", &[1, 2, 1, 1], &[1.0, 10.0]),
        ] {
            put_bytes(&mut graph, GRAPH_INITIALIZER, &w);
        }
        for n in [
            node("Conv", &[b"x", b"w"], &[b"c"]),
            node("BatchNormalization", &[b"c", b"gamma", b"beta", b"mean", b"var"], &[b"n"]),
            node("PRelu", &[b"n", b"slope"], &[b"f"]),
            node(reader, &[b"f", b"w2"], &[b"y"]),
        ] {
            put_bytes(&mut graph, GRAPH_NODE, &n);
        }
        graph
    }

    const THIN: [usize; 4] = [2, 1, 3, 3];
    const THICK: [usize; 4] = [2, 28, 1, 1];

    fn operators(graph: &[u8]) -> String {
        let graph = Graph::read(graph).unwrap();
        graph.nodes.iter().map(|n| String::from_utf8_lossy(n.op)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_thin_convolution_is_done_twice_and_signs_are_undone_behind_it() {
        let folded = fold(&row(&[0.25, 1.5], THIN, "Conv")).unwrap();
        assert_eq!(
            operators(&folded),
            "Conv BatchNormalization Relu Conv BatchNormalization Add Conv",
            "the runtime folds each pair and adds in the second"
        );
        let graph = Graph::read(&folded).unwrap();
        let values = |name: &[u8]| graph.tensor(name).unwrap().values;
        assert_eq!((values(b"f:gamma"), values(b"f:beta")), (vec![1.5, 1.5], vec![3.75, 3.5]));
        assert_eq!((values(b"f:gamma2"), values(b"f:beta2")), (vec![0.5, -4.5], vec![1.25, -10.5]));
        assert_eq!(values(b"y:signed"), [1.0, -10.0]);
        assert!(
            graph.tensor(b"w2").is_err() && graph.tensor(b"gamma").is_err(),
            "left over weights are left out"
        );
    }

    #[test]
    fn a_thick_convolution_is_done_once() {
        let folded = fold(&row(&[0.25, -0.5], THICK, "Conv")).unwrap();
        assert_eq!(operators(&folded), "Conv BatchNormalization Relu Conv Add Conv");
        let graph = Graph::read(&folded).unwrap();
        assert_eq!(graph.tensor(b"f:a/d").unwrap().values, [0.25 / 0.75, -0.5 / 1.5]);
        assert!(graph.tensor(b"w2").is_ok());
    }

    #[test]
    fn what_cannot_be_folded_is_refused_and_can_be_split() {
        // A slope above 1 that nothing behind can undo, and slopes above or near 1.
        let rows = [
            row(&[0.25, 1.5], THIN, "Sigmoid"),
            row(&[0.25, 1.5], THICK, "Conv"),
            row(&[0.25, 0.99], THICK, "Conv"),
            row(&[0.25, f32::NAN], THIN, "Conv"),
        ];
        for graph in rows {
            assert!(fold(&graph).is_err());
            assert!(split(&graph).is_ok());
        }
    }

    proptest! {
        #[test]
        fn a_damaged_graph_never_panics(
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
            thin in any::<bool>(),
        ) {
            let mut graph = row(&[0.25, 1.5], if thin { THIN } else { THICK }, "Conv");
            let at = at.index(graph.len());
            graph[at] = byte;
            let _ = (fold(&graph), split(&graph));
        }
    }
}
