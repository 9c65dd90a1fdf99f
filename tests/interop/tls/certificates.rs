//! Certificates made for a test, and what nodes have to be told of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;

use crate::support::serial;

/// An authority, and a directory for the certificates that it makes.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// A certificate, its key, and the authorities that its owner trusts.
#[derive(Clone)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = params(&format!("authority {}", serial()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A certificate for nodes on 127.0.0.1, of which an OTP node looks for a dNSName.
    pub fn issue(&self) -> Files {
        self.issue_with(|_| ())
    }

    /// The same with changes.
    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Files {
        let mut params = params("node");
        params.subject_alt_names =
            vec![SanType::DnsName("127.0.0.1".try_into().unwrap()), SanType::IpAddress([127, 0, 0, 1].into())];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let file = |what: &str| self.dir.path().join(format!("{what}{}.pem", serial()));
        let files = Files { cert: file("cert"), key: file("key"), ca: self.ca() };
        files.put(&cert.pem(), &key.serialize_pem());
        files
    }

    /// For nodes on another host.
    pub fn issue_for(&self, host: &str) -> Files {
        self.issue_with(|params| params.subject_alt_names = vec![SanType::DnsName(host.try_into().unwrap())])
    }

    /// One whose time is over.
    pub fn issue_expired(&self) -> Files {
        self.issue_with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    params
}

impl Files {
    /// Puts a certificate and a key into the files.
    pub fn put(&self, cert: &str, key: &str) {
        fs::write(&self.cert, cert).unwrap();
        let _ = fs::remove_file(&self.key);
        fs::write(&self.key, key).unwrap();
        fs::set_permissions(&self.key, fs::Permissions::from_mode(0o400)).unwrap();
    }

    /// Takes the place of these files' contents.
    pub fn overwrite(&self, with: &Self) {
        self.put(&fs::read_to_string(&with.cert).unwrap(), &fs::read_to_string(&with.key).unwrap());
        fs::copy(&with.ca, &self.ca).unwrap();
    }

    pub fn trusting(&self, other: &Authority) -> Self {
        Self { ca: other.ca(), ..self.clone() }
    }

    /// Of `beamroute`.
    pub fn flags(&self) -> Vec<&str> {
        let (cert, key, ca) = (self.cert.to_str(), self.key.to_str(), self.ca.to_str());
        vec!["--tls", "--tls-cert", cert.unwrap(), "--tls-key", key.unwrap(), "--tls-ca", ca.unwrap()]
    }

    /// A file for `-ssl_dist_optfile`: mutual certificates, and these options besides, of both roles.
    pub fn optfile(&self, more: &str) -> PathBuf {
        let shown = |path: &Path| format!("{path:?}");
        let ours = format!("{{certfile, {}}}, {{keyfile, {}}}", shown(&self.cert), shown(&self.key));
        let theirs = format!("{{cacertfile, {}}}, {{verify, verify_peer}}", shown(&self.ca));
        self.write(&format!("{ours}, {theirs}{more}"), &format!("{ours}, {theirs}{more}"))
    }

    /// The same, but that it shows no certificate when it dials.
    pub fn optfile_of_nobody(&self) -> PathBuf {
        let theirs = format!("{{cacertfile, {:?}}}, {{verify, verify_peer}}", self.ca);
        let ours = format!("{{certfile, {:?}}}, {{keyfile, {:?}}}, {theirs}", self.cert, self.key);
        self.write(&ours, &theirs)
    }

    fn write(&self, server: &str, client: &str) -> PathBuf {
        let file = self.cert.with_file_name(format!("ssl_dist{}.conf", serial()));
        let server = format!("{server}, {{fail_if_no_peer_cert, true}}");
        fs::write(&file, format!("[{{server, [{server}]}}, {{client, [{client}]}}].\n")).unwrap();
        file
    }
}
