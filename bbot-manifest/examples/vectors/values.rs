//! Vectors of values.

use std::cmp::Ordering;

use bbot_manifest::location::{Host, RepositoryType, RepositoryUrl};
use bbot_manifest::text::Commented;
use bbot_manifest::version::{
    Build, Omit, PackageVersionForms, SemanticVersion, SemanticVersionForms, StandardVersionForms,
};
use bbot_manifest::{PackageName, PackageVersion, RepositoryLocation, StandardVersion};
use serde_json::{Value, json};

use crate::runner::{flag, outcome, text};

fn sign(order: Ordering) -> i8 {
    order as i8
}

pub(crate) fn split_comment(vector: &Value) -> Value {
    let Commented { value, comment } = Commented::split(text(vector, "input"));
    json!({ "value": value, "comment": comment })
}

pub(crate) fn merge_comment(vector: &Value) -> Value {
    let field = |name| text(vector, name).to_owned();
    let commented = Commented { value: field("value"), comment: field("comment") };
    json!({ "merged": commented.merge() })
}

pub(crate) fn standard_version(vector: &Value) -> Value {
    let mut forms = StandardVersionForms::default();
    (forms.earliest, forms.stub) = (flag(vector, "earliest"), flag(vector, "stub"));
    let version = StandardVersion::parse(text(vector, "input"), forms);
    outcome(version.map(|v| {
        let mut fields = json!({
            "string": v.to_string(), "epoch": v.epoch(), "version": v.number().to_string(),
            "snapshot_sn": v.snapshot_number().to_string(), "snapshot_id": v.snapshot_id(),
            "revision": v.revision(), "alpha": v.alpha(), "beta": v.beta(),
            "pre_release": v.pre_release(), "stub": v.is_stub(), "earliest": v.is_earliest(),
            "release": v.is_release(), "snapshot": v.is_snapshot(),
            "latest_snapshot": v.is_latest_snapshot(), "final": v.is_final(),
            "project": v.project(), "project_rev": v.project_with_revision(),
            "project_id": v.project_id(), "version_only": v.version_only(),
            "pre_release_str": v.pre_release_text(), "snapshot_str": v.snapshot_text(),
        });
        for (name, part) in [("major", v.major()), ("minor", v.minor()), ("patch", v.patch())] {
            if let Some(part) = part {
                fields[name] = json!(part);
            }
        }
        fields
    }))
}

pub(crate) fn compare_standard_versions(vector: &Value) -> Value {
    let parse = |name| StandardVersion::parse(text(vector, name), StandardVersionForms::ALL);
    outcome(parse("a").and_then(|a| {
        let b = parse("b")?;
        Ok(json!({
            "cmp": sign(a.cmp(&b)), "cmp_ignore_revision": sign(a.cmp_ignore_revision(&b)),
        }))
    }))
}

pub(crate) fn semantic_version(vector: &Value) -> Value {
    let omit = match () {
        () if flag(vector, "omit_minor") => Omit::Minor,
        () if flag(vector, "omit_patch") => Omit::Patch,
        () => Omit::Nothing,
    };
    let build = match () {
        () if flag(vector, "build_any") => Build::Any,
        () if flag(vector, "build") => Build::After("-+"),
        () => Build::Nothing,
    };
    let mut forms = SemanticVersionForms::default();
    (forms.omit, forms.build) = (omit, build);
    let version = SemanticVersion::parse(text(vector, "input"), forms);
    outcome(version.map(|v| {
        let numeric = match v.numeric() {
            Ok(number) => json!(number.to_string()),
            Err(error) => json!({ "error": error.to_string() }),
        };
        json!({
            "string": v.to_string(), "major": v.major.to_string(), "minor": v.minor.to_string(),
            "patch": v.patch.to_string(), "build": v.build, "numeric": numeric,
        })
    }))
}

pub(crate) fn package_version(vector: &Value) -> Value {
    let mut forms = PackageVersionForms::default();
    (forms.fold_zero_revision, forms.iteration) = (flag(vector, "fold"), flag(vector, "iter"));
    let version = PackageVersion::parse(text(vector, "input"), forms);
    outcome(version.map(|v| {
        json!({
            "string": v.to_string(), "epoch": v.epoch(), "upstream": v.upstream(),
            "release": v.release(), "revision": v.revision(), "iteration": v.iteration(),
            "canonical_upstream": v.canonical_upstream(),
            "canonical_release": v.canonical_release(),
            "string_ignore_revision": v.without_revision().to_string(),
            "string_ignore_iteration": v.without_iteration().to_string(),
        })
    }))
}

pub(crate) fn compare_package_versions(vector: &Value) -> Value {
    let parse = |name, fold_zero_revision| {
        let mut forms = PackageVersionForms::default();
        (forms.fold_zero_revision, forms.iteration) = (fold_zero_revision, true);
        PackageVersion::parse(text(vector, name), forms)
    };
    outcome(parse("a", true).and_then(|a| {
        let b = parse("b", true)?;
        Ok(json!({
            "cmp": sign(a.cmp(&b)), "cmp_ignore_revision": sign(a.cmp_ignore_revision(&b)),
            "cmp_ignore_iteration": sign(a.cmp_ignore_iteration(&b)),
            "cmp_nofold": sign(parse("a", false)?.cmp(&parse("b", false)?)),
        }))
    }))
}

pub(crate) fn package_name(vector: &Value) -> Value {
    let name: Result<PackageName, _> = text(vector, "input").parse();
    outcome(name.map(|name| {
        json!({
            "string": name.as_str(), "base": name.base(), "extension": name.extension(),
            "variable": name.variable(),
        })
    }))
}

pub(crate) fn compare_package_names(vector: &Value) -> Value {
    let parse = |name| text(vector, name).parse::<PackageName>();
    outcome(parse("a").and_then(|a| Ok(json!({ "cmp": sign(a.cmp(&parse("b")?)) }))))
}

pub(crate) fn repository_location(vector: &Value) -> Value {
    let kind = vector["type"].as_str().map(|kind| match kind {
        "pkg" => RepositoryType::Pkg,
        "dir" => RepositoryType::Dir,
        _ => RepositoryType::Git,
    });
    let base = vector["base"].as_str().map(|base| base.parse().expect("a vector's base"));
    let location = RepositoryLocation::parse(text(vector, "input"), kind, base.as_ref());
    outcome(location.map(|location| {
        let RepositoryUrl { protocol, authority, path, query, fragment, .. } = location.parts();
        let authority = authority.as_ref();
        let host_kind = authority.map(|a| match a.host {
            Host::Name(_) => "name",
            Host::Ipv4(_) => "ipv4",
            Host::Ipv6(_) => "ipv6",
        });
        let path_repr = match path.as_str() {
            "" | "/" => path.clone(),
            path => format!("{path}/"),
        };
        json!({
            "string": location.to_string(), "canonical_name": location.canonical_name(),
            "type": location.kind().to_string(), "url": location.url(),
            "local": location.is_local(), "remote": location.is_remote(),
            "absolute": location.is_local(), "relative": false, "scheme": protocol.as_str(),
            "user": authority.map(|a| &a.user), "host": authority.map(|a| a.host.name()),
            "host_kind": host_kind, "port": authority.map(|a| a.port.unwrap_or(0)),
            "path": path, "path_repr": path_repr, "query": query, "fragment": fragment,
        })
    }))
}
