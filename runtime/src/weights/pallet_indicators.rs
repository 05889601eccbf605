//! Placeholder until generated.
use core::marker::PhantomData;
use frame_support::weights::Weight;
pub struct WeightInfo<T>(PhantomData<T>);
impl<T: frame_system::Config> pallet_indicators::WeightInfo for WeightInfo<T> {
	fn report() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn vote() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn withdraw() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn ensure_blockable() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn protect() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn unprotect() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn end_due(_n: u32) -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
}
