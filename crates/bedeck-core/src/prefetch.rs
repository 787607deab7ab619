//! Asking for a cache line before it is needed.

/// Starts loading the cache line at `offset` of `bytes`; does nothing where that is not in `bytes`, or on a processor without the instruction.
#[inline(always)]
pub fn prefetch(bytes: &[u8], offset: usize) {
    if offset < bytes.len() {
        let line = bytes.as_ptr().wrapping_add(offset);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint; it neither faults nor changes memory, whatever the address.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above; the instruction reads no register but the address and writes none.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) line, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = line;
    }
}
