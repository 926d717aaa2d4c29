//! Many patterns looked for at once (Aho and Corasick 1975), with the two facts a stream needs at each byte: the
//! longest pattern that ends here, and how many bytes may still be the beginning of one.

use std::collections::VecDeque;

/// The node before any byte.
pub(super) const ROOT: u32 = 0;

/// "No node"; the root is nobody's child, so its number is free for this.
const NONE: u32 = 0;

/// Patterns as a tree of bytes, children as linked lists: 24 bytes a node, however many patterns.
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// The root's children by byte: most bytes of a stream stay there.
    first: Box<[u32; 256]>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    child: u32,
    sibling: u32,
    /// The node of the longest proper ending of this one's bytes that also begins a pattern.
    fail: u32,
    /// Bytes from the root.
    depth: u32,
    /// Length of the longest pattern that ends here, or 0.
    longest: u32,
    byte: u8,
}

impl Trie {
    pub(super) fn new() -> Trie {
        Trie { nodes: vec![Node::default()], first: Box::new([NONE; 256]) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Adds a pattern. [`Trie::link`] must follow before anything is looked for.
    pub(super) fn insert(&mut self, pattern: &[u8]) {
        let mut at = ROOT;
        for (index, &byte) in pattern.iter().enumerate() {
            at = match self.child(at, byte) {
                Some(child) => child,
                None => self.add(at, byte, index + 1),
            };
        }
        self.nodes[at as usize].longest = pattern.len() as u32;
    }

    /// Sets the fail links, breadth first.
    pub(super) fn link(&mut self) {
        let mut queue: VecDeque<u32> = self.first.iter().copied().filter(|&node| node != NONE).collect();
        while let Some(parent) = queue.pop_front() {
            let mut child = self.nodes[parent as usize].child;
            while child != NONE {
                let Node { byte, sibling, .. } = self.nodes[child as usize];
                let fail = self.next(self.nodes[parent as usize].fail, byte);
                let longest = self.nodes[fail as usize].longest;
                let node = &mut self.nodes[child as usize];
                node.fail = fail;
                node.longest = node.longest.max(longest);
                queue.push_back(child);
                child = sibling;
            }
        }
    }

    /// Where `byte` leads from `at`.
    pub(super) fn next(&self, mut at: u32, byte: u8) -> u32 {
        loop {
            if at == ROOT {
                return self.first[byte as usize];
            }
            match self.child(at, byte) {
                Some(child) => return child,
                None => at = self.nodes[at as usize].fail,
            }
        }
    }

    /// Length of the longest pattern that ends at this node, or 0.
    pub(super) fn longest_match(&self, at: u32) -> usize {
        self.nodes[at as usize].longest as usize
    }

    /// How many of the last bytes may begin a pattern.
    pub(super) fn depth(&self, at: u32) -> usize {
        self.nodes[at as usize].depth as usize
    }

    fn child(&self, at: u32, byte: u8) -> Option<u32> {
        if at == ROOT {
            return Some(self.first[byte as usize]).filter(|&node| node != NONE);
        }
        let mut child = self.nodes[at as usize].child;
        while child != NONE {
            let node = &self.nodes[child as usize];
            if node.byte == byte {
                return Some(child);
            }
            child = node.sibling;
        }
        None
    }

    fn add(&mut self, parent: u32, byte: u8, depth: usize) -> u32 {
        let new = self.nodes.len() as u32;
        let sibling = if parent == ROOT {
            self.first[byte as usize] = new;
            NONE
        } else {
            std::mem::replace(&mut self.nodes[parent as usize].child, new)
        };
        self.nodes.push(Node { byte, sibling, depth: depth as u32, ..Node::default() });
        new
    }
}
