//! A graph as the steps see it: its nodes, who reads what, the weights; and
//! the nodes and weights that steps write.
//!
//! Field numbers are those of `onnx.proto` (ONNX IR version 3 and later).

use std::collections::{HashMap, HashSet};

use super::PrepareError;
use super::protobuf::{Field, Value, fields, first, numbers, put_bytes, put_number};

pub(super) const MODEL_GRAPH: u64 = 7;
pub(super) const MODEL_OPERATORS: u64 = 8;
pub(super) const OPERATORS_DOMAIN: u64 = 1;
pub(super) const OPERATORS_VERSION: u64 = 2;
pub(super) const GRAPH_NODE: u64 = 1;
pub(super) const GRAPH_INITIALIZER: u64 = 5;
pub(super) const GRAPH_INPUT: u64 = 11;
pub(super) const GRAPH_OUTPUT: u64 = 12;
pub(super) const GRAPH_VALUE_INFO: u64 = 13;
pub(super) const VALUE_NAME: u64 = 1;
pub(super) const VALUE_TYPE: u64 = 2;
pub(super) const TYPE_TENSOR: u64 = 1;
pub(super) const TENSOR_TYPE_SHAPE: u64 = 2;
pub(super) const SHAPE_DIM: u64 = 1;
pub(super) const DIM_PARAM: u64 = 2;
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const NODE_NAME: u64 = 3;
const NODE_OP_TYPE: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const NODE_DOMAIN: u64 = 7;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_FLOAT: u64 = 2;
const ATTRIBUTE_INT: u64 = 3;
const ATTRIBUTE_INTS: u64 = 8;
const ATTRIBUTE_TYPE: u64 = 20;
const TENSOR_DIMS: u64 = 1;
const TENSOR_TYPE: u64 = 2;
const TENSOR_FLOATS: u64 = 4;
const TENSOR_INTS: u64 = 7;
pub(super) const TENSOR_NAME: u64 = 8;
const TENSOR_RAW: u64 = 9;
const FLOAT32: u64 = 1;
const UINT8: u64 = 2;
const INT64: u64 = 7;

/// One operator.
pub(super) struct Node<'a> {
    message: &'a [u8],
    pub op: &'a [u8],
    pub inputs: Vec<&'a [u8]>,
    pub outputs: Vec<&'a [u8]>,
}

impl<'a> Node<'a> {
    fn read(message: &'a [u8]) -> Result<Self, PrepareError> {
        let all = fields(message)?;
        let of = |number| all.iter().filter(move |f| f.number == number).map(Field::bytes);
        // Operators of other domains may share a name with one that is known.
        let known = of(NODE_DOMAIN).all(<[u8]>::is_empty);
        Ok(Self {
            message,
            op: of(NODE_OP_TYPE).next().filter(|_| known).unwrap_or_default(),
            inputs: of(NODE_INPUT).collect(),
            outputs: of(NODE_OUTPUT).collect(),
        })
    }

    /// Its only output.
    pub fn output(&self) -> Option<&'a [u8]> {
        match self.outputs[..] {
            [y] => Some(y),
            _ => None,
        }
    }

    fn attribute(&self, name: &str) -> Result<Option<Vec<Field<'a>>>, PrepareError> {
        for field in fields(self.message)?.iter().filter(|f| f.number == NODE_ATTRIBUTE) {
            if first(field.bytes(), ATTRIBUTE_NAME)? == name.as_bytes() {
                return fields(field.bytes()).map(Some);
            }
        }
        Ok(None)
    }

    /// An attribute of whole numbers; `None` if it is left to its default.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<u64>>, PrepareError> {
        self.attribute(name)?.map(|a| numbers(&a, ATTRIBUTE_INTS)).transpose()
    }

    /// An attribute that is one whole number, or its default.
    pub fn int(&self, name: &str, default: u64) -> Result<u64, PrepareError> {
        let Some(attribute) = self.attribute(name)? else { return Ok(default) };
        Ok(numbers(&attribute, ATTRIBUTE_INT)?.first().copied().unwrap_or(0))
    }

    /// An attribute that is one float, or its default.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, PrepareError> {
        let Some(attribute) = self.attribute(name)? else { return Ok(default) };
        let bytes = attribute.iter().filter(|f| f.number == ATTRIBUTE_FLOAT).find_map(|f| match f.value {
            Value::Fixed(b) => b.first_chunk::<4>(),
            _ => None,
        });
        Ok(bytes.map_or(0.0, |b| f32::from_le_bytes(*b)))
    }

    /// The same operator with the same attributes between other tensors.
    pub fn between(&self, inputs: &[&[u8]], output: &[u8]) -> Result<Vec<u8>, PrepareError> {
        let mut out = Vec::with_capacity(self.message.len() + 64);
        inputs.iter().for_each(|i| put_bytes(&mut out, NODE_INPUT, i));
        put_bytes(&mut out, NODE_OUTPUT, output);
        for field in fields(self.message)? {
            if !matches!(field.number, NODE_INPUT | NODE_OUTPUT | NODE_NAME) {
                out.extend_from_slice(field.whole);
            }
        }
        Ok(out)
    }
}

/// A weight of floats, row by row.
pub(super) struct Tensor {
    pub dims: Vec<usize>,
    pub values: Vec<f32>,
}

/// What stands in a node's place.
#[derive(Default)]
pub(super) struct Edit {
    pub weights: Vec<Vec<u8>>,
    pub nodes: Vec<Vec<u8>>,
}

/// Nodes by number, and what stands in their place.
pub(super) type Edits = HashMap<usize, Edit>;

/// A graph that was read.
pub(super) struct Graph<'a> {
    fields: Vec<Field<'a>>,
    pub nodes: Vec<Node<'a>>,
    weights: HashMap<&'a [u8], &'a [u8]>,
    /// Inputs and outputs of the whole graph.
    ends: HashSet<&'a [u8]>,
    readers: HashMap<&'a [u8], Vec<usize>>,
    makers: HashMap<&'a [u8], usize>,
}

impl<'a> Graph<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self, PrepareError> {
        let fields = fields(message)?;
        let (mut nodes, mut weights, mut ends) = (Vec::new(), HashMap::new(), HashSet::new());
        let (mut readers, mut makers) = (HashMap::<_, Vec<usize>>::new(), HashMap::new());
        for field in &fields {
            match field.number {
                GRAPH_NODE => {
                    let node = Node::read(field.bytes())?;
                    node.inputs.iter().for_each(|i| readers.entry(*i).or_default().push(nodes.len()));
                    makers.extend(node.outputs.iter().map(|o| (*o, nodes.len())));
                    nodes.push(node);
                }
                GRAPH_INITIALIZER => {
                    weights.insert(first(field.bytes(), TENSOR_NAME)?, field.bytes());
                }
                GRAPH_INPUT | GRAPH_OUTPUT => {
                    ends.insert(first(field.bytes(), VALUE_NAME)?);
                }
                _ => {}
            }
        }
        Ok(Self { fields, nodes, weights, ends, readers, makers })
    }

    /// The number of the node that makes a tensor.
    pub fn maker(&self, tensor: &[u8]) -> Option<usize> {
        self.makers.get(tensor).copied()
    }

    /// Every node that reads a tensor inside the graph, once for each time;
    /// `None` if it is also an input or output of the graph.
    pub fn readers(&self, tensor: &[u8]) -> Option<&[usize]> {
        let inside = !self.ends.contains(tensor);
        inside.then(|| self.readers.get(tensor).map(Vec::as_slice).unwrap_or_default())
    }

    /// The number of the only node that reads a tensor.
    pub fn only_reader(&self, tensor: &[u8]) -> Option<usize> {
        match self.readers(tensor) {
            Some([one]) => Some(*one),
            _ => None,
        }
    }

    /// A weight of floats, with as many values as its dimensions say.
    pub fn tensor(&self, name: &[u8]) -> Result<Tensor, PrepareError> {
        let message = self.weights.get(name).ok_or(PrepareError("an operand that is not a weight"))?;
        let values = floats(message)?;
        let dims = dims(message)?;
        match dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) {
            Some(n) if n == values.len() => Ok(Tensor { dims, values }),
            _ => Err(PrepareError("a weight with more or fewer values than its dimensions say")),
        }
    }

    /// The values of a weight of floats, whatever its dimensions.
    pub fn floats(&self, name: &[u8]) -> Result<Vec<f32>, PrepareError> {
        floats(self.weights.get(name).ok_or(PrepareError("an operand that is not a weight"))?)
    }

    /// The values of a weight of whole numbers.
    pub fn integers(&self, name: &[u8]) -> Result<Vec<i64>, PrepareError> {
        let message = self.weights.get(name).ok_or(PrepareError("an operand that is not a weight"))?;
        let all = fields(message)?;
        if numbers(&all, TENSOR_TYPE)? != [INT64] {
            return Err(PrepareError("a shape that is not of whole numbers"));
        }
        match all.iter().find(|f| f.number == TENSOR_RAW).map(|f| f.bytes().as_chunks::<8>()) {
            Some((chunks, [])) => Ok(chunks.iter().map(|c| i64::from_le_bytes(*c)).collect()),
            Some(_) => Err(PrepareError("a shape that is cut short")),
            None => Ok(numbers(&all, TENSOR_INTS)?.into_iter().map(u64::cast_signed).collect()),
        }
    }

    /// The graph with the edits made. A weight that only edited nodes read, and
    /// that is read no more, is left out: the largest is two thirds of a model.
    pub fn edited(&self, edits: &Edits) -> Result<Vec<u8>, PrepareError> {
        let new: Vec<Node<'_>> =
            edits.values().flat_map(|e| &e.nodes).map(|n| Node::read(n)).collect::<Result<_, _>>()?;
        let read: HashSet<&[u8]> = new.iter().flat_map(|n| n.inputs.iter().copied()).collect();
        let is_left_over = |name: &[u8]| {
            let before = self.readers(name).unwrap_or_default();
            !before.is_empty() && before.iter().all(|n| edits.contains_key(n)) && !read.contains(name)
        };
        let mut out = Vec::with_capacity(self.fields.iter().map(|f| f.whole.len()).sum::<usize>() + 65536);
        let mut number = 0;
        for field in &self.fields {
            if field.number == GRAPH_NODE {
                match edits.get(&number) {
                    Some(edit) => {
                        edit.weights.iter().for_each(|w| put_bytes(&mut out, GRAPH_INITIALIZER, w));
                        edit.nodes.iter().for_each(|n| put_bytes(&mut out, GRAPH_NODE, n));
                    }
                    None => out.extend_from_slice(field.whole),
                }
                number += 1;
            } else if field.number != GRAPH_INITIALIZER || !is_left_over(first(field.bytes(), TENSOR_NAME)?) {
                out.extend_from_slice(field.whole);
            }
        }
        Ok(out)
    }
}

fn dims(tensor: &[u8]) -> Result<Vec<usize>, PrepareError> {
    let dims = numbers(&fields(tensor)?, TENSOR_DIMS)?;
    dims.into_iter()
        .map(usize::try_from)
        .collect::<Result<_, _>>()
        .map_err(|_| PrepareError("a dimension is too large"))
}

fn floats(tensor: &[u8]) -> Result<Vec<f32>, PrepareError> {
    let all = fields(tensor)?;
    let mut out = Vec::new();
    // Raw bytes, or floats in one packed field, or each in a field of its own.
    for field in all.iter().filter(|f| matches!(f.number, TENSOR_RAW | TENSOR_FLOATS)) {
        let (Value::Bytes(data) | Value::Fixed(data)) = field.value else {
            return Err(PrepareError("a weight that is not a tensor of floats"));
        };
        let (chunks, []) = data.as_chunks::<4>() else {
            return Err(PrepareError("a weight that is cut short"));
        };
        out.extend(chunks.iter().map(|c| f32::from_le_bytes(*c)));
    }
    if numbers(&all, TENSOR_TYPE)? == [FLOAT32] && !out.is_empty() {
        Ok(out)
    } else {
        Err(PrepareError("a weight that is not a tensor of floats"))
    }
}

fn raw(name: &[u8], dims: &[usize], kind: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 64);
    dims.iter().for_each(|d| put_number(&mut out, TENSOR_DIMS, *d as u64));
    put_number(&mut out, TENSOR_TYPE, kind);
    put_bytes(&mut out, TENSOR_NAME, name);
    put_bytes(&mut out, TENSOR_RAW, data);
    out
}

/// A weight of floats.
pub(super) fn weight(name: &[u8], dims: &[usize], values: &[f32]) -> Vec<u8> {
    raw(name, dims, FLOAT32, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// A weight of bytes.
pub(super) fn weight_of_bytes(name: &[u8], dims: &[usize], values: &[u8]) -> Vec<u8> {
    raw(name, dims, UINT8, values)
}

/// A weight of whole numbers, as shapes are.
pub(super) fn weight_of_integers(name: &[u8], values: &[i64]) -> Vec<u8> {
    raw(name, &[values.len()], INT64, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// An operator without attributes; [`with_int`] and [`with_ints`] add them.
pub(super) fn node(op: &str, inputs: &[&[u8]], outputs: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    inputs.iter().for_each(|i| put_bytes(&mut out, NODE_INPUT, i));
    outputs.iter().for_each(|o| put_bytes(&mut out, NODE_OUTPUT, o));
    put_bytes(&mut out, NODE_OP_TYPE, op.as_bytes());
    out
}

/// Says that an operator is of another set than ONNX's own.
pub(super) fn with_domain(mut node: Vec<u8>, domain: &str) -> Vec<u8> {
    put_bytes(&mut node, NODE_DOMAIN, domain.as_bytes());
    node
}

pub(super) fn with_int(mut node: Vec<u8>, name: &str, value: usize) -> Vec<u8> {
    const KIND: u64 = 2;
    let mut attribute = Vec::new();
    put_bytes(&mut attribute, ATTRIBUTE_NAME, name.as_bytes());
    put_number(&mut attribute, ATTRIBUTE_INT, value as u64);
    put_number(&mut attribute, ATTRIBUTE_TYPE, KIND);
    put_bytes(&mut node, NODE_ATTRIBUTE, &attribute);
    node
}

pub(super) fn with_ints(mut node: Vec<u8>, name: &str, values: &[usize]) -> Vec<u8> {
    const KIND: u64 = 7;
    let mut attribute = Vec::new();
    put_bytes(&mut attribute, ATTRIBUTE_NAME, name.as_bytes());
    values.iter().for_each(|v| put_number(&mut attribute, ATTRIBUTE_INTS, *v as u64));
    put_number(&mut attribute, ATTRIBUTE_TYPE, KIND);
    put_bytes(&mut node, NODE_ATTRIBUTE, &attribute);
    node
}
