//! One record of comma-separated values.

/// The fields of a line: quoted ones without their quotes (a doubled one stands for itself), all without the white space
/// around them. A quote that is not closed reaches to the end: records do not go over several lines here.
pub fn fields(line: &str) -> Vec<String> {
	let mut fields = vec![String::new()];
	let mut quoted = false;
	let mut characters = line.chars().peekable();
	while let Some(character) = characters.next() {
		match (character, quoted) {
			('"', true) if characters.peek() == Some(&'"') => {
				characters.next();
				push(&mut fields, '"');
			}
			('"', _) => quoted = !quoted,
			(',', false) => fields.push(String::new()),
			_ => push(&mut fields, character),
		}
	}
	for field in &mut fields {
		*field = field.trim().to_owned();
	}
	fields
}

fn push(fields: &mut [String], character: char) {
	// There is always one.
	if let Some(last) = fields.last_mut() {
		last.push(character);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn fields_are_split_at_commas_outside_of_quotes() {
		assert_eq!(fields("a, b ,,c"), ["a", "b", "", "c"]);
		assert_eq!(fields(r#"1,"ACME, Inc","say ""hi""",2"#), ["1", "ACME, Inc", r#"say "hi""#, "2"]);
		assert_eq!(fields(r#"a,"b,c"#), ["a", "b,c"], "a quote that is not closed");
		assert_eq!(fields(""), [""]);
	}
}
