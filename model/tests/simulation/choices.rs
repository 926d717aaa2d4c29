//! Where a schedule's choices come from: a seed, or a list of choices that were made before.

pub(crate) struct Choices {
    state: u64,
    given: Option<Vec<u32>>,
    taken: Vec<u32>,
}

impl Choices {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), given: None, taken: Vec::new() }
    }

    /// The same choices again; 0 after the last.
    pub(crate) fn again(given: Vec<u32>) -> Self {
        Self { state: 0, given: Some(given), taken: Vec::new() }
    }

    pub(crate) fn taken(&self) -> Vec<u32> {
        self.taken.clone()
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let raw = match &self.given {
            Some(given) => given.get(self.taken.len()).copied().unwrap_or(0),
            None => {
                // splitmix64
                self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = self.state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                ((z ^ (z >> 31)) >> 33) as u32
            }
        };
        let chosen = if limit == 0 { 0 } else { raw as usize % limit };
        self.taken.push(chosen as u32);
        chosen
    }

    /// Once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 1 % n
    }
}

/// Takes choices out, in ever smaller pieces, as long as it still fails.
pub(crate) fn shrink(
    mut list: Vec<u32>,
    fails: impl Fn(&mut Choices) -> Option<String>,
) -> (Vec<u32>, String) {
    let mut last = String::new();
    let mut piece = list.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < list.len() {
            let mut shorter = list.clone();
            shorter.drain(at..(at + piece).min(list.len()));
            match fails(&mut Choices::again(shorter.clone())) {
                Some(why) => (list, last) = (shorter, why),
                None => at += piece,
            }
        }
        piece /= 2;
    }
    (list, last)
}
