"""Outside ports of a router: NAT-PMP (RFC 6886) and PCP (RFC 6887) as one machine, what UPnP's texts say, and the table
of leases that all three share."""
