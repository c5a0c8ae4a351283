@main struct MockBroker { static func main() {} }
