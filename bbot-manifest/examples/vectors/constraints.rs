//! Vectors of version constraints.

use bbot_manifest::version::{
    Endpoint, PackageConstraint, PackageVersionForms, StandardConstraint, StandardVersionForms,
};
use bbot_manifest::{PackageVersion, StandardVersion};
use serde_json::{Value, json};

use crate::runner::{message, outcome, text};

pub(crate) fn standard(vector: &Value) -> Value {
    let dependent = vector["dependent"].as_str().map(|text| {
        StandardVersion::parse(text, StandardVersionForms::ALL).expect("a vector's version")
    });
    let constraint = StandardConstraint::parse(text(vector, "input"), dependent.as_ref());
    outcome(constraint.map(|constraint| {
        let satisfies = |probe: &Value| {
            let text = probe.as_str().unwrap_or_default();
            let version = StandardVersion::parse(text, StandardVersionForms::EARLIEST);
            version.is_ok_and(|version| constraint.is_satisfied_by(&version))
        };
        let probes = vector["probe"].as_array().into_iter().flatten();
        json!({
            "string": constraint.to_string(),
            "min": constraint.min().map(ToString::to_string),
            "max": constraint.max().map(ToString::to_string),
            "min_open": constraint.is_min_open(), "max_open": constraint.is_max_open(),
            "satisfies": probes.map(satisfies).collect::<Vec<_>>(),
        })
    }))
}

pub(crate) fn package(vector: &Value) -> Value {
    let constraint: Result<PackageConstraint, _> = text(vector, "input").parse();
    outcome(constraint.map(|constraint| {
        let mut fields = json!({
            "string": constraint.to_string(),
            "min": constraint.min().map(Endpoint::to_string),
            "max": constraint.max().map(Endpoint::to_string),
            "min_open": constraint.is_min_open(), "max_open": constraint.is_max_open(),
        });
        if let Some(dependent) = vector["dependent"].as_str() {
            let mut forms = PackageVersionForms::default();
            (forms.fold_zero_revision, forms.iteration) = (false, true);
            let dependent = PackageVersion::parse(dependent, forms).expect("a vector's version");
            fields["effective"] = match constraint.complete(&dependent) {
                Ok(effective) => json!(effective.to_string()),
                Err(error) => json!({ "error": message(&error) }),
            };
        }
        fields
    }))
}
