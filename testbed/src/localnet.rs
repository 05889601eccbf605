//! A local network to develop against: validators whose ISPs vet, and nothing else.

use crate::{error::Result, Options, Testbed};

/// Runs until interrupted. The ISPs vote, so what a member reports becomes active.
pub async fn run(validators: usize) -> Result<()> {
	let options = Options { validators, gateways: false, ..Options::FULL };
	let testbed = Testbed::start(options, &|what, took, detail| {
		println!("  {what:<20} {:>5.1} s   {detail}", took.as_secs_f64());
	})
	.await?;
	println!("\nRPC, from this machine:\n");
	for validator in &testbed.validators {
		println!("  {}   ISP {}, {}", validator.url, validator.site.letter(), validator.site.isp_secret());
	}
	println!("\n{}\nCtrl-C ends it.", attach(&testbed));
	std::future::pending().await
}

/// How to look at the chain with polkadot.js apps.
pub fn attach(testbed: &Testbed) -> String {
	let url = testbed.validators.first().map_or("", |validator| &validator.url);
	let address = url.trim_start_matches("ws://");
	format!(
		"polkadot.js apps, in a browser on this machine: https://polkadot.js.org/apps/?rpc={url}\n\
		 from elsewhere: ssh -L 9944:{address} <this machine>, and there ?rpc=ws://127.0.0.1:9944"
	)
}
