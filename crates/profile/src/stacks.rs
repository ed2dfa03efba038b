//! Stacks of all processes as one tree: the same calls are the same stack, whichever process made them.

use std::collections::HashMap;

/// Whose instructions a line is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    /// The interpreter's program.
    Python,
    /// The processor's.
    Native,
}

/// Deepest stack that is followed: agents record fewer frames. What lies on top of it counts as it.
pub(crate) const DEEPEST: usize = 10_000;

/// A line of code in a stack.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Frame {
    /// The function.
    pub function: String,
    /// The file.
    pub file: String,
    /// The line, 0 if not known.
    pub line: u32,
    /// Whose it is.
    pub code: Code,
}

/// A stack. The empty one is 0: no Python was running.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StackId(pub u32);

/// The tree.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    frames: Vec<Frame>,
    frame_ids: HashMap<Frame, u32>,
    /// Parent and frame of each stack but the empty one.
    nodes: Vec<(StackId, u32)>,
    node_ids: HashMap<(StackId, u32), StackId>,
    /// How deep each is, the empty one aside.
    depths: Vec<u16>,
}

impl Stacks {
    /// The stack `parent` with `frame` on top.
    pub(crate) fn on_top_of(&mut self, parent: StackId, frame: &Frame) -> StackId {
        let frame = match self.frame_ids.get(frame) {
            Some(&id) => id,
            None => {
                let id = self.frames.len() as u32;
                self.frames.push(frame.clone());
                self.frame_ids.insert(frame.clone(), id);
                id
            }
        };
        let below = (parent.0 as usize).checked_sub(1).and_then(|place| self.depths.get(place).copied());
        let depth = below.unwrap_or(0) + 1;
        if usize::from(depth) > DEEPEST {
            return parent;
        }
        let (nodes, depths) = (&mut self.nodes, &mut self.depths);
        *self.node_ids.entry((parent, frame)).or_insert_with(|| {
            nodes.push((parent, frame));
            depths.push(depth);
            StackId(nodes.len() as u32)
        })
    }

    /// The frames of a stack, innermost first.
    pub fn frames(&self, stack: StackId) -> impl Iterator<Item = &Frame> {
        let mut at = stack;
        std::iter::from_fn(move || {
            let (parent, frame) = *self.nodes.get((at.0 as usize).checked_sub(1)?)?;
            at = parent;
            self.frames.get(frame as usize)
        })
    }

    /// The frames from the innermost line of Python's on, innermost first: whose wish it was. All of them,
    /// where there is no such line.
    pub fn frames_from_python(&self, stack: StackId) -> impl Iterator<Item = &Frame> {
        let is_line = |frame: &Frame| frame.code == Code::Python && !frame.file.is_empty();
        let n_native = self.frames(stack).position(is_line).unwrap_or(0);
        self.frames(stack).skip(n_native)
    }

    /// What a stack consists of: the stack below, and the place of its innermost frame among
    /// [`Stacks::distinct_frames`]. The empty stack consists of nothing.
    pub fn node(&self, stack: StackId) -> Option<(StackId, usize)> {
        let &(parent, frame) = self.nodes.get((stack.0 as usize).checked_sub(1)?)?;
        Some((parent, frame as usize))
    }

    /// Every frame once.
    pub fn distinct_frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Distinct stacks, the empty one aside.
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none but the empty one.
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
