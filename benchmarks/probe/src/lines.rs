//! Lines of a mapped file, to be asked for and to be read.

const LINE: usize = 64;

/// Bytes as whole lines.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    lines: &'a [[u8; LINE]],
}

impl<'a> Lines<'a> {
    /// Takes as many whole lines as there are; `None` if there is none.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (lines, _) = bytes.as_chunks();
        (!lines.is_empty()).then_some(Self { lines })
    }

    /// The line that a random number stands for.
    #[inline(always)]
    pub fn pick(self, random: u64) -> usize {
        ((u128::from(random) * self.lines.len() as u128) >> 64) as usize
    }

    /// Starts loading a line.
    #[inline(always)]
    pub fn ask(self, line: usize) {
        let start = self.lines[line].as_ptr();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint; it neither faults nor changes memory, whatever the address.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(start.cast());
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above; the instruction reads no register but the address and writes none.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) start, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = start;
    }

    /// Eight bytes of a line.
    #[inline(always)]
    pub fn read(self, line: usize) -> u64 {
        let (words, _) = self.lines[line].as_chunks::<8>();
        u64::from_le_bytes(words[0])
    }
}
