//! What a certificate says: for which hosts it is, and until when.

use std::net::IpAddr;
use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::Ia5String;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate, TbsCertificate};

/// How a certificate stands to the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    NotYetValid,
    Valid,
    Expired,
}

/// Reads a certificate, without believing it.
pub(super) fn read(der: &CertificateDer<'_>) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|error| format!("a certificate that cannot be read: {error}"))
}

/// The time up to which it is valid, as RFC 3339 writes it.
pub(super) fn until(certificate: &Certificate) -> String {
    certificate.tbs_certificate().validity().not_after.to_string()
}

pub(super) fn age(certificate: &Certificate, now: SystemTime) -> Age {
    let validity = certificate.tbs_certificate().validity();
    if now < validity.not_before.to_system_time() {
        Age::NotYetValid
    } else if now > validity.not_after.to_system_time() {
        Age::Expired
    } else {
        Age::Valid
    }
}

/// Whether it is for `host`, the part of a node name behind the `@`: as `public_key:pkix_verify_hostname/2`, and also if
/// an iPAddress or a dNSName like `*.example.org` fits. OTP looks for a host that is an address among the dNSNames.
pub(super) fn is_for(der: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let certificate = certificate.tbs_certificate();
    match certificate.get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0.iter().any(|name| fits(name, host)),
        Ok(None) => common_name(certificate).is_some_and(|name| name.eq_ignore_ascii_case(host)),
        Err(_) => false,
    }
}

fn fits(name: &GeneralName, host: &str) -> bool {
    match name {
        GeneralName::DnsName(name) => is_dns_name(name, host),
        GeneralName::IpAddress(bytes) => host.parse().is_ok_and(|ip: IpAddr| match ip {
            IpAddr::V4(ip) => bytes.as_bytes() == ip.octets(),
            IpAddr::V6(ip) => bytes.as_bytes() == ip.octets(),
        }),
        _ => false,
    }
}

fn is_dns_name(name: &Ia5String, host: &str) -> bool {
    let name = name.as_str();
    if let Some(domain) = name.strip_prefix("*.") {
        // One label, whatever it is; no address is below a domain.
        let rest = host.split_once('.').filter(|(label, _)| !label.is_empty());
        return host.parse::<IpAddr>().is_err() && rest.is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain));
    }
    name.eq_ignore_ascii_case(host)
}

fn common_name(certificate: &TbsCertificate) -> Option<String> {
    let name = certificate.subject().common_name().ok()??;
    Some(name.value().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    /// A certificate with this common name and these subjectAltNames.
    fn certificate(common_name: &str, names: &[SanType]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names.to_vec();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    #[test]
    fn hosts() {
        let ip = |ip: &str| SanType::IpAddress(ip.parse().unwrap());
        let mail = SanType::Rfc822Name("a@gw.example".try_into().unwrap());
        for (common_name, names, host, fits) in [
            ("", vec![dns("gw.example")], "gw.example", true),
            ("", vec![dns("other"), dns("GW.example")], "gw.EXAMPLE", true),
            ("", vec![dns("gw.example")], "xgw.example", false),
            ("", vec![dns("gw")], "gw", true),
            ("", vec![dns("gw")], "", false),
            // An address as OTP looks for it, and as others do.
            ("", vec![dns("192.0.2.7")], "192.0.2.7", true),
            ("", vec![ip("192.0.2.7")], "192.0.2.7", true),
            ("", vec![ip("192.0.2.7")], "192.0.2.8", false),
            ("", vec![ip("2001:db8::7")], "2001:db8:0::7", true),
            ("", vec![ip("2001:db8::7")], "2001:db8::8", false),
            ("", vec![dns("*.example")], "gw.example", true),
            ("", vec![dns("*.example")], "a.gw.example", false),
            ("", vec![dns("*.example")], "example", false),
            ("", vec![dns("*.example")], ".example", false),
            ("", vec![dns("*.0.2.7")], "192.0.2.7", false),
            ("", vec![dns("*")], "gw", false),
            // The common name counts only where there is no subjectAltName.
            ("gw.example", vec![], "GW.example", true),
            ("gw.example", vec![], "gw", false),
            ("*.example", vec![], "gw.example", false),
            ("gw.example", vec![dns("other")], "gw.example", false),
            ("gw.example", vec![mail], "gw.example", false),
        ] {
            assert_eq!(is_for(&certificate(common_name, &names), host), fits, "{common_name} {names:?} {host}");
        }
        assert!(!is_for(&CertificateDer::from(vec![0x30, 0]), "gw"));
    }

    #[test]
    fn ages() {
        let read = read(&certificate("gw", &[])).unwrap();
        assert_eq!(until(&read), "2002-01-01T00:00:00Z");
        let at = |seconds| age(&read, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        assert_eq!([at(978_307_199), at(978_307_200)], [Age::NotYetValid, Age::Valid]);
        assert_eq!([at(1_009_843_200), at(1_009_843_201)], [Age::Valid, Age::Expired]);
    }
}
