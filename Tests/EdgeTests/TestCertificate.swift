/// A self-signed certificate for 127.0.0.1, good until 2126, and its key; it guards nothing.
enum TestCertificate {
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBlDCCATqgAwIBAgIUFobYQxluaz7GBr3TKBXkA6wYZEUwCgYIKoZIzj0EAwIw
        FjEUMBIGA1UEAwwLdG9jc2luIHRlc3QwIBcNMjYxMTIxMTEwNjM2WhgPMjEyNjEw
        MjgxMTA2MzZaMBYxFDASBgNVBAMMC3RvY3NpbiB0ZXN0MFkwEwYHKoZIzj0CAQYI
        KoZIzj0DAQcDQgAEg4itw6npbhOZyMWhp7q1lGl8TdOa7P2M5/We1kGG+sWlXFzz
        gB5ECm3XZWx+BN05lVNJaN9qj1YDquSa2ZZi8aNkMGIwHQYDVR0OBBYEFMm106iL
        J0R/EmXM8pQlin2W62qUMB8GA1UdIwQYMBaAFMm106iLJ0R/EmXM8pQlin2W62qU
        MA8GA1UdEwEB/wQFMAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNI
        ADBFAiEAlXDklTjJUG36mmSHcvcT9XCUT4A1RlwAHOHn8pGGENUCIGEyrr9feRag
        3oRMFXbBAnb9pOIb4Ma+C10N9z5e1Ole
        -----END CERTIFICATE-----
        """

    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghG3u6qHjJzmTq5x6
        AF5Ogr3auZICXPvm0dLz5tAHPB2hRANCAASDiK3DqeluE5nIxaGnurWUaXxN05rs
        /Yzn9Z7WQYb6xaVcXPOAHkQKbddlbH4E3TmVU0lo32qPVgOq5JrZlmLx
        -----END PRIVATE KEY-----
        """
}
