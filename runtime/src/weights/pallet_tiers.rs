//! Placeholder until generated.
use core::marker::PhantomData;
use frame_support::weights::Weight;
pub struct WeightInfo<T>(PhantomData<T>);
impl<T: frame_system::Config> pallet_tiers::WeightInfo for WeightInfo<T> {
	fn admit() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn enrol() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn suspend() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn reinstate() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn remove() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
	fn check_member() -> Weight {
		Weight::from_parts(100_000_000, 0)
	}
}
