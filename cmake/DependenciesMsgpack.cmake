# msgpack as ndc::msgpack, for the decoder of the RPC layer and, in every build, its fuzz target.
ndc_header_library(msgpack msgpack.hpp)
target_compile_definitions(ndc::msgpack INTERFACE MSGPACK_NO_BOOST)
