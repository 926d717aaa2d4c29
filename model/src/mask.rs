//! Keeps secrets out of streams: every occurrence of a secret, or of an encoding of it, becomes `***`.
//!
//! Matches that overlap become one `***`, so that no half of a secret is left beside another. The answer does not
//! depend on how the stream was cut into writes, the work is linear in its length, and no more is held back than the
//! bytes that may still turn out to begin a secret. Secrets under [`MIN_BYTES`] bytes, or made of `*` alone, are left
//! out: masking them would shred every text and hide nothing.

mod encodings;
#[cfg(test)]
mod tests;
mod trie;

use std::sync::Arc;

use trie::Trie;

/// Shortest secret, and shortest encoding of one, that is looked for.
pub const MIN_BYTES: usize = 4;

/// What stands where a secret stood.
pub const REPLACEMENT: &str = "***";

/// The secrets to look for. Cheap to clone.
#[derive(Clone)]
pub struct Masker {
    secrets: Arc<Vec<String>>,
    trie: Arc<Trie>,
}

impl Masker {
    /// Looks for these secrets and their encodings: as they are, trimmed, without quotes, each line of several, Base64
    /// at its three offsets, hexadecimal, and as escaped for URLs, JSON, XML and shells.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Masker {
        let secrets: Vec<String> = secrets.into_iter().filter(|secret| secret.len() >= MIN_BYTES).collect();
        let mut trie = Trie::new();
        for secret in &secrets {
            for pattern in encodings::of(secret) {
                trie.insert(&pattern);
            }
        }
        trie.link();
        Masker { secrets: Arc::new(secrets), trie: Arc::new(trie) }
    }

    /// The same, and one more.
    pub fn and(&self, secret: String) -> Masker {
        Masker::new(self.secrets.iter().cloned().chain([secret]))
    }

    /// Masks a whole text.
    pub fn mask_str(&self, text: &str) -> String {
        if self.trie.is_empty() {
            return text.to_owned();
        }
        let mut stream = self.stream();
        let mut masked = stream.push(text.as_bytes());
        masked.append(&mut stream.finish());
        // Secrets are whole characters, so that what is left between them is too.
        String::from_utf8(masked)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Masks a stream of bytes.
    pub fn stream(&self) -> MaskStream {
        MaskStream { trie: Arc::clone(&self.trie), node: trie::ROOT, held: Vec::new(), regions: Vec::new() }
    }
}

impl std::fmt::Debug for Masker {
    /// Says how many secrets there are, and nothing of them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// One stream on its way through a [`Masker`].
pub struct MaskStream {
    trie: Arc<Trie>,
    /// The longest beginning of a pattern that the stream ends with at present.
    node: u32,
    /// Bytes that were taken in and not given out.
    held: Vec<u8>,
    /// Masked stretches of `held`, in order, none overlapping.
    regions: Vec<Region>,
}

#[derive(Clone, Copy)]
struct Region {
    from: usize,
    to: usize,
    /// Its replacement was given out: the region is the rest of one whose beginning left `held`.
    announced: bool,
}

impl MaskStream {
    /// Takes bytes in; gives those out that are settled.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.trie.is_empty() {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        // In pieces, so that `held` stays small whatever comes in one write.
        for piece in bytes.chunks(16 * 1024) {
            for &byte in piece {
                self.held.push(byte);
                self.node = self.trie.next(self.node, byte);
                let longest = self.trie.longest_match(self.node);
                if longest > 0 {
                    self.cover(self.held.len() - longest);
                }
            }
            // A later match begins with the bytes that the node stands for, or after them.
            self.release(self.held.len() - self.trie.depth(self.node), &mut out);
        }
        out
    }

    /// The stream is over: gives the rest out. The stream can be used afresh afterwards.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.release(self.held.len(), &mut out);
        self.node = trie::ROOT;
        self.regions.clear();
        out
    }

    /// A match reaches from `from` to the end of `held`.
    fn cover(&mut self, from: usize) {
        let mut region = Region { from, to: self.held.len(), announced: false };
        while let Some(last) = self.regions.pop_if(|last| last.to > from) {
            region.from = region.from.min(last.from);
            region.announced |= last.announced;
        }
        self.regions.push(region);
    }

    /// Gives out what lies before `settled`: no later match begins there.
    fn release(&mut self, settled: usize, out: &mut Vec<u8>) {
        let mut at = 0;
        let mut done = 0;
        for region in &mut self.regions {
            if region.from >= settled {
                break;
            }
            out.extend_from_slice(&self.held[at..region.from]);
            if !region.announced {
                out.extend_from_slice(REPLACEMENT.as_bytes());
                region.announced = true;
            }
            at = region.to.min(settled);
            if region.to > settled {
                // Its end may be overlapped by a later match, which then is a part of it.
                region.from = settled;
                break;
            }
            done += 1;
        }
        out.extend_from_slice(&self.held[at..settled]);
        self.regions.drain(..done);
        self.held.drain(..settled);
        for region in &mut self.regions {
            region.from -= settled;
            region.to -= settled;
        }
    }
}
