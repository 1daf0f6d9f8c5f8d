create stream cfdp_in as select substring(packet, 0) as pdu from pdus_in
create stream cfdp_out (gentime TIMESTAMP, entityId long, seqNum int, pdu binary)
create stream cfdp_tc as select gentime, 'cfdp' as origin, seqNum, '/nothing/pdu' as cmdName, pdu as binary from cfdp_out
insert into pdus_out select * from cfdp_tc
