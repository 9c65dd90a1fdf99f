//! `--tls` and what belongs to it.

use super::*;
use beamroute::node::{Tls, TlsSettings};

#[test]
fn tls_from_every_layer() {
    let all = "--tls --tls-cert c --tls-key k --tls-ca a --tls-verify none --tls-check-name=false";
    if !Tls::IS_BUILT {
        return assert_eq!(
            refusal(all, &[], None),
            "tls: this beamroute is built without it (cargo build --features tls)"
        );
    }
    let (cert, key, ca) = (PathBuf::from("c"), PathBuf::from("k"), PathBuf::from("a"));
    let settings = |flags: &str, variables: &[(&str, &str)], file: &str| {
        let config = resolve(flags, variables, Some(file)).unwrap();
        (config.tls, config.warnings)
    };
    let least = TlsSettings {
        certificate: cert.clone(),
        key: cert,
        authorities: Some(ca),
        verifies_peers: true,
        checks_names: true,
    };
    let file = "tls = true\ntls_cert = \"c\"\ntls_ca = \"a\"";
    assert_eq!(settings("", &[], file), (Some(least.clone()), Vec::new()));
    let variables = [("BEAMROUTE_TLS", "true"), ("BEAMROUTE_TLS_CERT", "c"), ("BEAMROUTE_TLS_CA", "a")];
    assert_eq!(settings("", &variables, ""), (Some(least.clone()), Vec::new()));
    let (tls, warnings) = settings(all, &[], "tls = false\ntls_cert = \"other\"");
    assert_eq!(tls, Some(TlsSettings { key, verifies_peers: false, checks_names: false, ..least }));
    assert!(warnings.len() == 1 && warnings[0].starts_with("tls_verify is none: "), "{warnings:?}");
    let (tls, warnings) = settings("--tls=false", &[], file);
    assert_eq!((tls, &warnings[..]), (None, &["tls_cert counts only with tls, and that is not on".to_owned()][..]));
    assert_eq!(refusal("--tls", &[], None), "tls: needs a certificate, see --tls-cert");
    let authorities = "tls: needs the authorities that nodes' certificates must lead to, see --tls-ca";
    assert_eq!(refusal("--tls --tls-cert c", &[], None), authorities);
    assert!(resolve("--tls --tls-cert c --tls-verify none", &[], None).is_ok());
    assert!(refusal("", &[], Some("tls_verify = \"all\"")).starts_with("b.toml: tls_verify: unknown variant"));
    assert_eq!(
        refusal("", &[("BEAMROUTE_TLS_VERIFY", "x")], None),
        "environment variable BEAMROUTE_TLS_VERIFY: must be one of peer, none"
    );
}
